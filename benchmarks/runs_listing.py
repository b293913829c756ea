"""How long `tinydigits runs ls` takes on many runs.

Each run is a folder with a real record and verdict, those of a model that comes with the package under another seed.
Every listing is a process of its own, from start to end; sizes take turns, so that a busy machine slows all alike.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import tinydigits.pretrained
from benchmarks.protocol import (
    LAB,
    RESULTS,
    Page,
    in_turns,
    machine,
    made_by,
    new_chart,
    read_rows,
    run_process,
    write_rows,
)
from benchmarks.provenance import stamp
from benchmarks.style import BLUE, ORANGE
from tinydigits.report.text import picture, table

FILE = RESULTS / "runs_listing.json"
PAGE = LAB / "runs-speed.md"
SIZES = (100, 500, 1_000, 2_000, 5_000)
REPEATS = 5
COMMANDS_TIMED = {"ls": [], "sorted and filtered": ["--sort", "-test", "--where", "parameters<100000"]}


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


def measure() -> None:
    """Time every size; a minute."""
    write_rows(FILE, {**stamp(weights=["dash-99"]), "rows": time_listings(SIZES, REPEATS)})


def time_listings(sizes: Sequence[int], repeats: int) -> list[dict[str, Any]]:
    """Seconds of every repeat, by command and number of runs."""

    def listing(size: int, arguments: Sequence[str]) -> dict[str, Any]:
        done = run_process(["-m", "tinydigits", "runs", "ls", "--out", f"{folder}/{size}", *arguments])
        if (listed := done.pop("stdout").count("finished")) != size:
            raise SystemExit(f"runs ls lists {listed} of {size} runs")
        return done

    calls, about = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            make_runs(Path(folder) / str(size), size)
            for name, arguments in COMMANDS_TIMED.items():
                about[f"{name} {size}"] = {"command": name, "runs": size}
                calls[f"{name} {size}"] = partial(listing, size, arguments)
        return [about[key] | seconds for key, found in in_turns(calls, repeats).items() for seconds in found]


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


def pages() -> Iterator[Page]:
    rows = read_rows(FILE)
    yield Page(PAGE, page(rows), [FILE], lambda: draw(rows))


def page(result: dict[str, Any]) -> str:
    """The rows as Markdown."""
    sizes = sorted({row["runs"] for row in result["rows"]})
    cells = []
    for size in sizes:
        seconds = [median(result, "wall", command, size) for command in COMMANDS_TIMED]
        seconds.append(median(result, "processor", "ls", size))
        cells.append([f"{size:,} runs", *(f"{value:.2f}" for value in seconds)])
    repeats = sum(row["runs"] == sizes[0] and row["command"] == "ls" for row in result["rows"])
    return "\n\n".join([
        "# Speed of listing runs",
        made_by("runs_listing", FILE, result),
        picture("runs-speed.png", "Seconds that runs ls takes, over the number of runs"),
        table(["`runs ls` of", "seconds", "sorted and filtered", "processor seconds"], cells, "rrrr"),
        f"Medians of {repeats} processes each, from start to end; {machine(result)}. The work beyond start-up grows "
        f"with the number of runs to the power of {exponent(result, 'ls'):.2f}.",
    ]) + "\n"  # fmt: skip


def draw(result: dict[str, Any]) -> Figure:
    """Seconds over runs, every process a point and the medians joined."""
    figure, axes = new_chart(
        "Listing runs: seconds over their number", "points: processes; lines: medians", "runs", "seconds"
    )
    sizes = sorted({row["runs"] for row in result["rows"]})
    for clock, colour, dash, name in (("wall", BLUE, "-", "wall clock"), ("processor", ORANGE, "--", "processor")):
        each = [(row["runs"], row[clock]) for row in result["rows"] if row["command"] == "ls"]
        axes.plot(*zip(*each, strict=True), "o", color=colour, markersize=3, alpha=0.6)
        axes.plot(sizes, [median(result, clock, "ls", size) for size in sizes], dash, color=colour, label=name)
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    axes.legend(frameon=False)
    return figure


COMMANDS = (measure,)
