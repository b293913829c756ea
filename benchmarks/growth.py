"""How training grows with the number of images: seconds of one epoch, and the memory that the images take.

    python -m benchmarks.growth measure    # some minutes; goes on with benchmarks/results/growth.json where it stopped
    python -m benchmarks.growth page       # writes docs/growth.md and its picture (--check: only compare)

Each training is `dash-99`'s one epoch in a process of its own, on IDX files in a temporary folder: the first images of
MNIST, or all of them ten times over. One thread, so what the processor spent is the time it takes where nothing else
runs; the wall clock stands beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.provenance import sentence, stamp
from tinydigits import data
from tinydigits.data import idx
from tinydigits.machine import describe_machine, describe_versions
from tinydigits.run import write_atomic

ROOT = Path(__file__).parents[1]
FILE = ROOT / "benchmarks" / "results" / "growth.json"
PAGE = ROOT / "docs" / "growth.md"
PICTURE = PAGE.with_suffix(".png")
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
from tinydigits.train import Reporter, train
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
    """Make the trainings that the file has no rows of; it is written after each."""
    if not FILE.is_file():
        measured = stamp(recipes=[" ".join([RECIPE, *SETTINGS])])
        _write({**measured, "machine": describe_machine(), "versions": describe_versions(), "trainings": []})
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(1, REPEATS + 1):
            for size in SIZES:
                rows = json.loads(FILE.read_text(encoding="utf-8"))
                if sum(row["num_images"] == size for row in rows["trainings"]) >= repeat:
                    continue
                command = [sys.executable, "-c", _TRAIN, RECIPE, str(_images(Path(folder), size)), *SETTINGS]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                rows["trainings"].append(json.loads(done.stdout))
                _write(rows)
                print(done.stdout, end="", flush=True)


def _write(rows: dict[str, Any]) -> None:
    write_atomic(FILE, json.dumps(rows, indent=1) + "\n")


def _images(folder: Path, size: int) -> Path:
    """A folder with so many training images; the test images, which training never reads, are two."""
    target = folder / str(size)
    if not target.is_dir():
        whole = data.load("mnist", "train")
        times = math.ceil(size / len(whole))
        target.mkdir()
        for prefix, count in (("train", size), ("t10k", 2)):
            images_NHW = np.tile(whole.images_NHW, (times, 1, 1))[:count]
            idx.write(target / f"{prefix}-images-idx3-ubyte", images_NHW)
            idx.write(target / f"{prefix}-labels-idx1-ubyte", np.tile(whole.labels_N, times)[:count])
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


def page(rows: dict[str, Any]) -> str:
    """docs/growth.md, from the rows that `measure` gave."""
    machine, versions = rows["machine"], rows["versions"]
    seconds, memory = least(rows, "processor_seconds"), least(rows, "peak_memory_bytes")
    few, many = sorted(seconds)[-2:]
    grown = exponent(seconds)
    last = exponent({n: seconds[n] for n in (few, many)})
    holds = "holds" if grown <= LIMIT and last <= LIMIT else "does not hold"
    lines = [
        "# Cost as the images grow",
        "",
        f"Generated from `{FILE.relative_to(ROOT)}` by `python -m benchmarks.growth page`; measured anew by "
        f"`python -m benchmarks.growth measure`. {sentence(rows)}",
        "",
        f"One epoch of `{RECIPE}`, {machine['processor']}, one thread, torch {versions['torch']}; each training in a "
        f"process of its own. What the processor spent on it is the least of {REPEATS}, since other work on a machine "
        "only ever adds; the wall clock is given from least to most, and is above it where the machine had other work. "
        "Up to 60,000 the images are MNIST's first; 600,000 are all of them ten times over.",
        "",
        "| images | processor, s | wall clock, s | µs an image | peak memory |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for size, fastest in seconds.items():
        walls = [row["seconds"] for row in rows["trainings"] if row["num_images"] == size]
        lines.append(
            f"| {size:,} | {fastest:.2f} | {min(walls):.2f}–{max(walls):.2f} | {1e6 * fastest / size:.0f} "
            f"| {memory[size] / 1e6:.0f} MB |"
        )
    return "\n".join(
        [
            *lines,
            "",
            f"![Seconds over images]({PICTURE.name})",
            "",
            f"The processor's time grows with the images to the power of **{grown:.3f}** (least squares over all "
            f"sizes), from {few:,} to {many:,} to the power of {last:.3f}; at most {LIMIT} was asked for: {holds}.",
            "",
            f"Each further pixel takes **{bytes_per_pixel(memory):.2f} bytes** of peak memory: the images are in it "
            "once, as bytes. Beside its pixels an image has a label and a place in the epoch's order, "
            f"{8 / PIXELS:.3f} bytes a pixel for each number.",
            "",
        ]
    )


def draw(rows: dict[str, Any]) -> bytes:
    """Seconds over images on two logarithmic axes, with the line of exponent 1, as PNG."""
    from benchmarks.style import BLUE, QUIET, axes_at, new_figure, png_bytes, write_title

    seconds = least(rows, "processor_seconds")
    sizes = list(seconds)
    figure = new_figure(1100, 700)
    write_title(
        figure,
        40,
        f"One epoch of {RECIPE}: seconds over images",
        "points: trainings; line: the time per image of 60,000",
    )
    axes = axes_at(figure, 110, 120, 950, 480)
    per_image = seconds[60_000] / 60_000
    axes.loglog([sizes[0], sizes[-1]], [sizes[0] * per_image, sizes[-1] * per_image], color=QUIET, linewidth=1)
    each = [(row["num_images"], row["processor_seconds"]) for row in rows["trainings"]]
    axes.loglog(*zip(*each, strict=True), "o", color=BLUE, markersize=4)
    axes.set_xlabel("images")
    axes.set_ylabel("processor seconds")
    axes.spines[["top", "right"]].set_visible(False)
    return png_bytes(figure, description=_mark(page(rows)))


def _mark(text: str) -> str:
    """Another matplotlib draws other bytes, so the picture says of which page it is."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["measure", "page"])
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    options = parser.parse_args()
    if options.task == "measure":
        measure()
        print(f"{FILE}\nnext: python -m benchmarks.growth page")
        return 0
    rows = json.loads(FILE.read_text(encoding="utf-8"))
    text = page(rows)
    if options.check:
        return int(not is_up_to_date(text))
    write_atomic(PAGE, text)
    write_atomic(PICTURE, draw(rows))
    print(PAGE, PICTURE, sep="\n")
    return 0


def is_up_to_date(text: str) -> bool:
    """Whether the page is this text, and its picture is of it."""
    if not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        return False
    with Image.open(PICTURE) as picture:
        return picture.info.get("Description") == _mark(text)


if __name__ == "__main__":
    sys.exit(main())
