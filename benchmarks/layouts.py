"""Seconds an epoch in each order of memory: torch's two, in both precisions, and by layers in C.

The table is a part of docs/lab/speed.md. The ways train the same recipe on the same images, one after the other and
over again.
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from typing import Any

from benchmarks.protocol import RESULTS, in_turns, spread, write_rows
from benchmarks.provenance import sentence, stamp
from tinydigits import data, recipe
from tinydigits.machine import machine_words
from tinydigits.recipe import Recipe
from tinydigits.report.text import table

FILE = RESULTS / "layouts.json"
REPEATS = 5
NUM_IMAGES = 4_096
FULL_EPOCH = 60_000
RECIPES = ("frontier-1800", "frontier-3k", "frontier-10k", "gap-cnn-tuned", "sprint")
PLAIN = {"precision": "fp32", "channels_last": False, "batch_last": False, "fused": False}
WAYS = {
    "fp32": PLAIN,
    "fp32, channels_last": {**PLAIN, "channels_last": True},
    "bf16, channels_last": {**PLAIN, "channels_last": True, "precision": "bf16"},
    "fp32, batch_last": {**PLAIN, "batch_last": True},
    "bf16, channels_last, fused": {**PLAIN, "channels_last": True, "precision": "bf16", "fused": True},
}
# An epoch's steps alone, whatever the recipe does after its last one.
SETTINGS = ("epochs=1", "evaluation.shift_pixels=0", "statistics=augmented")
IN_C = ("fp32, batch_last", "bf16, channels_last, fused")


def measure(threads: int = 1) -> None:
    """Time an epoch of 60,000 images, scaled up from a part, for every recipe and way; a few minutes."""
    whole = data.load("mnist", "train")
    part = data.ImageSet("part", "train", whole.images_NHW[:NUM_IMAGES], whole.labels_N[:NUM_IMAGES], whole.classes)
    rows = {}
    for name in RECIPES:
        chosen = recipe.load(name, SETTINGS)
        ways = {way: partial(_epoch, chosen.model_copy(update=changes), part, threads) for way, changes in WAYS.items()}
        rows[name] = in_turns(ways, REPEATS)
        print(name, {way: round(statistics.median(values), 2) for way, values in rows[name].items()}, flush=True)
    write_rows(FILE, {**stamp(recipes=[stamped(name) for name in RECIPES]), "threads": threads, "recipes": rows})
    print("next: python -m benchmarks speed page")


def _epoch(chosen: Recipe, images: data.ImageSet, threads: int) -> float:
    from tinydigits.training import train

    with tempfile.TemporaryDirectory() as out:
        return train(chosen, out=out, threads=threads, images=images).record.seconds.training * FULL_EPOCH / NUM_IMAGES


def stamped(name: str) -> str:
    """A recipe with the settings that all ways share, and the first way's in place of its own."""
    return " ".join([name, *SETTINGS, *(f"{key}={str(value).lower()}" for key, value in PLAIN.items())])


def section(rows: dict[str, Any]) -> str:
    """The part of docs/lab/speed.md, from the rows that `measure` gave."""
    cells = []
    for name, seconds in rows["recipes"].items():
        medians = {way: statistics.median(values) for way, values in seconds.items()}
        own = min(medians.pop(way) for way in IN_C)
        cells.append([name, *map(spread, seconds.values()), f"{min(medians.values()) / own:.2f}×"])
    return "\n\n".join([
        "## Orders in memory",
        "Seconds of an epoch of 60,000 images, with its data, as above; medians of "
        f"{REPEATS} repeats, in brackets least and most; {machine_words(rows['machine'], threads=rows['threads'])}. "
        "*Gain*: of the faster of `batch_last` and `fused`, whose layers are in C, over the fastest of torch's. "
        f"Measured anew by `python -m benchmarks layouts measure`. {sentence(rows)}",
        table(["recipe", *(f"{way}, s" for way in WAYS), "gain"], cells, "l" + "r" * (len(WAYS) + 1)),
    ])  # fmt: skip


COMMANDS = (measure,)
