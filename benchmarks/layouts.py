"""Seconds an epoch in each order of memory: torch's two, in both precisions, and by layers in C.

    python -m benchmarks.layouts           # a few minutes; writes benchmarks/results/layouts.json
    python -m benchmarks.speed page        # puts the table into docs/speed.md

The ways train the same recipe on the same images, one after the other and over again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.provenance import sentence, stamp
from tinydigits import data, recipe
from tinydigits.machine import describe_machine, describe_versions

FILE = Path(__file__).parent / "results" / "layouts.json"
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


def measure(threads: int) -> dict[str, Any]:
    """Seconds of an epoch of 60,000 images, scaled up from a part, for every recipe and way."""
    from tinydigits.train import train

    whole = data.load("mnist", "train")
    images = data.ImageSet("part", "train", whole.images_NHW[:NUM_IMAGES], whole.labels_N[:NUM_IMAGES], whole.classes)
    found: dict[str, dict[str, list[float]]] = {}
    for name in RECIPES:
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        chosen = recipe.load(name, SETTINGS)
        for repeat in range(REPEATS + 1):
            for way, changes in WAYS.items():
                with tempfile.TemporaryDirectory() as out:
                    record = train(chosen.model_copy(update=changes), out=out, threads=threads, images=images).record
                if repeat:  # the first round warms caches up
                    seconds[way].append(record.seconds.training * FULL_EPOCH / NUM_IMAGES)
        found[name] = seconds
        print(name, {way: round(statistics.median(values), 2) for way, values in seconds.items()}, flush=True)
    return {
        **stamp(recipes=[stamped(name) for name in RECIPES]), "machine": describe_machine(),
        "versions": describe_versions(), "threads": threads, "recipes": found,
    }  # fmt: skip


def stamped(name: str) -> str:
    """A recipe with the settings that all ways share, and the first way's in place of its own."""
    return " ".join([name, *SETTINGS, *(f"{key}={str(value).lower()}" for key, value in PLAIN.items())])


def section(rows: dict[str, Any]) -> list[str]:
    """The lines of docs/speed.md, from the rows that `measure` gave."""
    lines = [
        "## Orders in memory",
        "",
        "Seconds of an epoch of 60,000 images, with its data, as above; medians of "
        f"{REPEATS} repeats, in brackets least and most; {rows['machine']['processor']}, {rows['threads']} thread(s). "
        "*Gain*: of the faster of `batch_last` and `fused`, whose layers are in C, over the fastest of torch's. "
        f"Measured anew by `python -m benchmarks.layouts`. {sentence(rows)}",
        "",
        "| recipe | " + " | ".join(f"{way}, s" for way in WAYS) + " | gain |",
        "| :--- | " + "---: | " * (len(WAYS) + 1),
    ]
    for name, seconds in rows["recipes"].items():
        medians = {way: statistics.median(values) for way, values in seconds.items()}
        own = min(medians.pop(way) for way in IN_C)
        cells = [f"{statistics.median(v):.2f} ({min(v):.2f}–{max(v):.2f})" for v in seconds.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {min(medians.values()) / own:.2f}× |")
    return [line.rstrip() for line in lines]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    FILE.write_text(json.dumps(measure(options.threads), indent=1) + "\n", encoding="utf-8")
    print(f"{FILE}\nnext: python -m benchmarks.speed page")
    return 0


if __name__ == "__main__":
    sys.exit(main())
