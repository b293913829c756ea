"""What the benchmarks share: timing in turns, rows in files, and pages that know what they were made of."""

from __future__ import annotations

import difflib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import provenance
from tinydigits.machine import machine_words
from tinydigits.report.svg import Chart, Frame
from tinydigits.run import write_atomic

__all__ = [
    "DOCS", "LAB", "RESULTS", "ROOT", "Page", "in_turns", "machine", "made_by", "new_frame", "read_rows", "run_process",
    "spread", "write_rows",
]  # fmt: skip

ROOT = Path(__file__).parents[1]
RESULTS, DOCS = ROOT / "benchmarks" / "results", ROOT / "docs"
LAB = DOCS / "lab"  # pages for those who work on the package

Result = TypeVar("Result")


@dataclass(frozen=True)
class Page:
    """A page, and the chart of the same name beside it; `sources` are the files that it is made from."""

    path: Path
    text: str
    sources: Sequence[Path] = ()
    chart: Chart | None = None

    @property
    def files(self) -> dict[Path, str]:
        """What is written: the page, and its chart as SVG."""
        return {self.path: self.text} | ({self.path.with_suffix(".svg"): self.chart.file()} if self.chart else {})

    def write(self) -> None:
        for path, text in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text)
            print(path)

    def differences(self) -> Iterator[str]:
        """Where a file is not what it would be today, and what its sources were measured on that has changed since."""
        for path, text in self.files.items():
            written = path.read_text(encoding="utf-8") if path.is_file() else ""
            yield from difflib.unified_diff(written.splitlines(), text.splitlines(), str(path), "its rows", lineterm="")
        for source in self.sources:
            yield from (f"{source.name}: {line}" for line in provenance.differences(read_rows(source)))


def read_rows(path: Path) -> Any:
    """The content of a JSON file, or the list of a JSON Lines file; empty where there is none yet."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    return json.loads(text or "{}")


def write_rows(path: Path, rows: Any) -> None:
    """Write JSON with a line for each figure, so that a diff shows which one has changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


def in_turns(calls: Mapping[str, Callable[[], Result]], repeats: int) -> dict[str, list[Result]]:
    """What each call gives, again and again in turn, so that a busy machine slows all alike.

    A first round, which warms caches up, is left out.

    >>> in_turns({"a": lambda: 1, "b": lambda: 2}, repeats=2)
    {'a': [1, 1], 'b': [2, 2]}
    """
    given: dict[str, list[Result]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            result = call()
            if repeat:
                given[name].append(result)
    return given


def run_process(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Seconds of a whole Python process by the wall clock and of its processor time, and what it printed."""
    before, started = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - started, os.times()
    if done.returncode != 0:
        raise SystemExit(f"python {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall": wall, "processor": processor, "stdout": done.stdout}


def made_by(name: str, source: Path, rows: Mapping[str, Any] | None = None) -> str:
    """The first paragraph of a page: which rows it is of, and which command measures them anew."""
    command = f"python -m benchmarks {name}"
    text = f"Generated from `{source.relative_to(ROOT)}` by `{command} page`; measured anew by `{command} measure`."
    return f"{text} {provenance.sentence(dict(rows))}" if rows else text


def spread(values: Sequence[float]) -> str:
    """The median, then the least and the most.

    >>> spread([3, 1, 2])
    '2.00 (1.00–3.00)'
    """
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def machine(rows: Mapping[str, Any], threads: int = 0) -> str:
    """Where rows were measured.

    >>> machine({"machine": {"processor": "P", "num_cores": 2}, "versions": {"torch": "2.13", "python": "3.11"}}, 1)
    'P, 2 cores; 1 thread; torch 2.13, Python 3.11'
    """
    versions = rows["versions"]
    return f"{machine_words(rows['machine'], threads=threads)}; torch {versions['torch']}, Python {versions['python']}"


def new_frame(xs: Sequence[float], ys: Sequence[float], width: int = 800, height: int = 440, right: int = 40) -> Frame:
    """A plotting area for all of the values, with some room around them."""
    (left_end, right_end), (low, high) = ((min(values), max(values)) for values in (xs, ys))
    x_room, y_room = 0.06 * (right_end - left_end), 0.06 * (high - low)
    return Frame(left_end - x_room, right_end + x_room, low - y_room, high + y_room, width, height, right=right)
