"""How long `tinydigits runs ls` takes on many runs.

    python -m benchmarks.runs_listing      # a minute; writes the rows, their page and its picture
    python -m benchmarks.runs_listing page # the page and the picture alone, from the rows

Each run is a folder with a real record and verdict, those of a model that comes with the package under another seed.
Every listing is a process of its own, from start to end; sizes take turns, so that a busy machine slows all alike.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tinydigits.pretrained
from benchmarks.provenance import sentence, stamp
from tinydigits.machine import describe_machine, describe_versions

FILE = Path(__file__).parent / "results" / "runs_listing.json"
PAGE = Path(__file__).parents[1] / "docs" / "runs-speed.md"
PICTURE = PAGE.with_suffix(".png")
SIZES = (100, 500, 1_000, 2_000, 5_000)
REPEATS = 5
COMMANDS = {"ls": [], "sorted and filtered": ["--sort", "-test", "--where", "parameters<100000"]}


def make_runs(out: Path, number: int) -> None:
    """Folders with `record.json` and `verdict.json`, a tenth of them in folders of their own as a sweep's are."""
    source = Path(tinydigits.pretrained.__file__).parent / "dash-99"
    record = json.loads((source / "record.json").read_text(encoding="utf-8"))
    verdict = (source / "verdict.json").read_bytes()
    for index in range(number):
        record["recipe"]["seed"] = index
        place = out / f"study{index // 100}" if index % 10 == 0 else out
        folder = place / f"20260101_{index:06}_dash-99_s{index}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
        (folder / "verdict.json").write_bytes(verdict)


def measure(sizes: Sequence[int] = SIZES, repeats: int = REPEATS) -> dict[str, Any]:
    """Seconds of every repeat, by command and number of runs."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            make_runs(Path(folder) / str(size), size)
        for repeat in range(repeats + 1):
            for size in sizes:
                for name, arguments in COMMANDS.items():
                    command = [sys.executable, "-m", "tinydigits", "runs", "ls", "--out", f"{folder}/{size}"]
                    before, start = os.times(), time.perf_counter()
                    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
                    wall, after = time.perf_counter() - start, os.times()
                    processor = (after.children_user + after.children_system) - (
                        before.children_user + before.children_system
                    )
                    if done.stdout.count("finished") != size:
                        raise SystemExit(f"runs ls lists {done.stdout.count('finished')} of {size} runs")
                    if repeat:  # the first round fills the caches
                        rows.append({"command": name, "runs": size, "wall": round(wall, 4), "processor": processor})
    return {**stamp(weights=["dash-99"]), "rows": rows, "machine": describe_machine(), "versions": describe_versions()}


def median(result: dict[str, Any], clock: str, command: str, size: int) -> float:
    """Seconds on a clock, `wall` or `processor`, over the repeats."""
    return statistics.median(row[clock] for row in result["rows"] if row["command"] == command and row["runs"] == size)


def exponent(result: dict[str, Any], command: str) -> float:
    """How the processor's time beyond the smallest listing's grows with the number of runs: 1 is in proportion."""
    sizes = sorted({row["runs"] for row in result["rows"]})
    start = median(result, "processor", command, sizes[0])
    beyond = [(size - sizes[0], median(result, "processor", command, size) - start) for size in sizes[1:]]
    logs = [(math.log(size), math.log(max(1e-3, seconds))) for size, seconds in beyond]
    return statistics.linear_regression(*zip(*logs, strict=True)).slope


def page(result: dict[str, Any]) -> str:
    """The rows as Markdown."""
    sizes = sorted({row["runs"] for row in result["rows"]})
    machine = result["machine"]
    lines = [
        "# Speed of listing runs",
        "",
        "Generated from `benchmarks/results/runs_listing.json`; measured anew by `python -m benchmarks.runs_listing`. "
        + sentence(result),
        "",
        f"![Seconds that runs ls takes, over the number of runs]({PICTURE.name})",
        "",
        "| `runs ls` of | seconds | sorted and filtered | processor seconds |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for size in sizes:
        cells = [median(result, "wall", command, size) for command in COMMANDS]
        cells.append(median(result, "processor", "ls", size))
        lines.append(f"| {size:,} runs | " + " | ".join(f"{seconds:.2f}" for seconds in cells) + " |")
    where = f"{machine['processor']}, {machine['num_cores']} cores, Python {result['versions']['python']}"
    repeats = sum(row["runs"] == sizes[0] and row["command"] == "ls" for row in result["rows"])
    lines += [
        "",
        f"Medians of {repeats} processes each, from start to end; {where}. The work beyond start-up grows with the "
        f"number of runs to the power of {exponent(result, 'ls'):.2f}.",
    ]
    return "\n".join(lines) + "\n"


def draw(result: dict[str, Any]) -> bytes:
    """Seconds over runs, every process a point and the medians joined, as PNG; it holds the page that it belongs to."""
    from benchmarks.style import BLUE, ORANGE, axes_at, new_figure, png_bytes, write_title

    figure = new_figure(1100, 640)
    write_title(figure, 40, "Listing runs: seconds over their number", "points: processes; lines: medians")
    axes = axes_at(figure, 110, 120, 950, 420)
    sizes = sorted({row["runs"] for row in result["rows"]})
    for clock, colour, dash, name in (("wall", BLUE, "-", "wall clock"), ("processor", ORANGE, "--", "processor")):
        each = [(row["runs"], row[clock]) for row in result["rows"] if row["command"] == "ls"]
        axes.plot(*zip(*each, strict=True), "o", color=colour, markersize=3, alpha=0.6)
        axes.plot(sizes, [median(result, clock, "ls", size) for size in sizes], dash, color=colour, label=name)
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    axes.set_xlabel("runs")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return png_bytes(figure, description=page(result))


if __name__ == "__main__":
    if sys.argv[1:] != ["page"]:
        FILE.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    found = json.loads(FILE.read_text(encoding="utf-8"))
    PAGE.write_text(page(found), encoding="utf-8")
    PICTURE.write_bytes(draw(found))
    print(page(found))
