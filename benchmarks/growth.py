"""How training grows with the number of images: seconds of one epoch, and the memory that the images take.

Each training is `dash-99`'s one epoch in a process of its own, on IDX files in a temporary folder: the first images of
MNIST, or all of them ten times over. One thread, so what the processor spent is the time it takes where nothing else
runs; the wall clock stands beside it.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.protocol import LAB, RESULTS, Page, machine, made_by, new_frame, read_rows, run_process, write_rows
from benchmarks.provenance import stamp
from tinydigits import data
from tinydigits.data import idx
from tinydigits.report.scales import log_ticks
from tinydigits.report.svg import Chart
from tinydigits.report.text import picture, table

FILE = RESULTS / "growth.json"
PAGE = LAB / "growth.md"
SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 600_000)
REPEATS = 3
RECIPE = "dash-99"
SETTINGS = ("epochs=1", "data.validation=0")
PIXELS = 28 * 28
LIMIT = 1.05

_TRAIN = """
import json, sys, tempfile, time
from tinydigits import recipe
from tinydigits.machine import peak_memory_bytes
from tinydigits.training import Reporter, train
class Enough(Exception): pass
class Clock(Reporter):
    def on_start(self, run, record): self.started = time.process_time()
    def on_epoch(self, row):
        print(json.dumps({"num_images": row["images_seen"], "seconds": row["seconds"],
                          "processor_seconds": round(time.process_time() - self.started, 3),
                          "peak_memory_bytes": peak_memory_bytes()}))
        raise Enough
chosen = recipe.load(sys.argv[1], [f'data.source="{sys.argv[2]}"', *sys.argv[3:]])
with tempfile.TemporaryDirectory() as out:
    try: train(chosen, out=out, threads=1, reporter=Clock())
    except Enough: pass
"""


def measure() -> None:
    """Make the trainings that the file has no rows of; it is written after each, so the next call goes on there."""
    rows = read_rows(FILE) or {**stamp(recipes=[" ".join([RECIPE, *SETTINGS])]), "trainings": []}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(1, REPEATS + 1):
            for size in SIZES:
                if sum(row["num_images"] == size for row in rows["trainings"]) < repeat:
                    done = run_process(["-c", _TRAIN, RECIPE, str(_images(Path(folder), size)), *SETTINGS])
                    rows["trainings"].append(json.loads(done["stdout"]))
                    write_rows(FILE, rows)
                    print(done["stdout"], end="", flush=True)


def _images(folder: Path, size: int) -> Path:
    """A folder with so many training images; the test images, which training never reads, are two."""
    target = folder / str(size)
    if not target.is_dir():
        whole = data.load("mnist", "train")
        times = math.ceil(size / len(whole))
        target.mkdir()
        for prefix, count in (("train", size), ("t10k", 2)):
            images_NHW = np.tile(whole.images_NHW, (times, 1, 1))[:count]
            (target / f"{prefix}-images-idx3-ubyte").write_bytes(idx.encode(images_NHW))
            (target / f"{prefix}-labels-idx1-ubyte").write_bytes(idx.encode(np.tile(whole.labels_N, times)[:count]))
    return target


def least(rows: dict[str, Any], key: str) -> dict[int, float]:
    """The least of a figure for each size that was measured: other work on a machine only ever adds."""
    sizes = sorted({row["num_images"] for row in rows["trainings"]})
    return {n: min(row[key] for row in rows["trainings"] if row["num_images"] == n) for n in sizes}


def exponent(seconds: dict[int, float]) -> float:
    """The slope of log(seconds) over log(images), by least squares: 1 where time grows as the images do.

    >>> round(exponent({10: 1.0, 100: 10.0, 1000: 100.0}), 6)
    1.0
    """
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


def bytes_per_pixel(memory: dict[int, float]) -> float:
    """What each further pixel takes of the peak memory, between the two largest sets.

    >>> bytes_per_pixel({1: 100.0, 11: 100.0 + 10 * 784})
    1.0
    """
    few, many = sorted(memory)[-2:]
    return (memory[many] - memory[few]) / ((many - few) * PIXELS)


def pages() -> Iterator[Page]:
    rows = read_rows(FILE)
    yield Page(PAGE, page(rows), [FILE], draw(rows))


def page(rows: dict[str, Any]) -> str:
    """docs/lab/growth.md, from the rows that `measure` gave."""
    seconds, memory = least(rows, "processor_seconds"), least(rows, "peak_memory_bytes")
    few, many = sorted(seconds)[-2:]
    grown = exponent(seconds)
    last = exponent({n: seconds[n] for n in (few, many)})
    holds = "holds" if grown <= LIMIT and last <= LIMIT else "does not hold"
    cells = []
    for size, fastest in seconds.items():
        walls = [row["seconds"] for row in rows["trainings"] if row["num_images"] == size]
        cells.append([
            f"{size:,}", f"{fastest:.2f}", f"{min(walls):.2f}–{max(walls):.2f}", f"{1e6 * fastest / size:.0f}",
            f"{memory[size] / 1e6:.0f} MB",
        ])  # fmt: skip
    return "\n\n".join([
        "# Cost as the images grow",
        made_by("growth", FILE, rows),
        f"One epoch of `{RECIPE}`, {machine(rows, 1)}; each training in a process of its own. What the processor spent "
        f"on it is the least of {REPEATS}, since other work on a machine only ever adds; the wall clock is given from "
        "least to most, and is above it where the machine had other work. Up to 60,000 the images are MNIST's first; "
        "600,000 are all of them ten times over.",
        table(["images", "processor, s", "wall clock, s", "µs an image", "peak memory"], cells, "rrrrr"),
        picture("growth.svg", "Seconds over images"),
        f"The processor's time grows with the images to the power of **{grown:.3f}** (least squares over all "
        f"sizes), from {few:,} to {many:,} to the power of {last:.3f}; at most {LIMIT} was asked for: {holds}.",
        f"Each further pixel takes **{bytes_per_pixel(memory):.2f} bytes** of peak memory: the images are in it "
        "once, as bytes. Beside its pixels an image has a label and a place in the epoch's order, "
        f"{8 / PIXELS:.3f} bytes a pixel for each number.",
    ]) + "\n"  # fmt: skip


def draw(rows: dict[str, Any]) -> Chart:
    """Seconds over images, both by their logarithm, with the line of exponent 1."""
    seconds = least(rows, "processor_seconds")
    per_image = math.log10(seconds[60_000] / 60_000)
    sizes = [math.log10(row["num_images"]) for row in rows["trainings"]]
    spent = [row["processor_seconds"] for row in rows["trainings"]]
    heights, ends = [math.log10(value) for value in spent], [min(sizes), max(sizes)]
    frame = new_frame(sizes, [*heights, min(sizes) + per_image])
    return frame.chart(
        f"One epoch of {RECIPE}: seconds over images", "points: trainings; line: the time per image of 60,000",
        [frame.path(ends, [end + per_image for end in ends], "ideal"),
         *(frame.dot(x, y, "first") for x, y in zip(sizes, heights, strict=True))],
        x_ticks=[(math.log10(size), f"{size:,}") for size in seconds], y_ticks=log_ticks(min(spent), max(spent)),
        x_name="images", heading="processor seconds",
    )  # fmt: skip


COMMANDS = (measure,)
