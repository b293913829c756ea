"""What the benchmarks share: timing in turns, rows in files, and pages that know what they were made of."""

from __future__ import annotations

import difflib
import hashlib
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

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from benchmarks import provenance
from benchmarks.style import axes_at, new_figure, png_bytes, write_title
from tinydigits.run import write_atomic

__all__ = [
    "DOCS", "LAB", "RESULTS", "ROOT", "Page", "in_turns", "machine", "made_by", "new_chart", "read_rows", "run_process",
    "spread", "write_rows",
]  # fmt: skip

ROOT = Path(__file__).parents[1]
RESULTS, DOCS = ROOT / "benchmarks" / "results", ROOT / "docs"
LAB = DOCS / "lab"  # pages for those who work on the package

Result = TypeVar("Result")


@dataclass(frozen=True)
class Page:
    """A page, and the picture of the same name beside it; `sources` are the files that it is made from."""

    path: Path
    text: str
    sources: Sequence[Path] = ()
    draw: Callable[[], Figure] | None = None

    @property
    def picture(self) -> Path:
        return self.path.with_suffix(".png")

    @property
    def mark(self) -> str:
        """Another matplotlib draws other bytes, so a picture holds the hash of the page that it is of."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    def write(self) -> None:
        """Write the page, then its picture."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, self.text)
        if self.draw is not None:
            write_atomic(self.picture, png_bytes(self.draw(), description=self.mark))
        print(self.path)

    def differences(self) -> Iterator[str]:
        """Where the file is another text, the picture of another page, a source of what the package no longer has."""
        written = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        lines = written.splitlines(), self.text.splitlines()
        yield from difflib.unified_diff(*lines, str(self.path), "its rows", lineterm="")
        if self.draw is not None:
            with Image.open(self.picture) as picture:
                if picture.info.get("Description") != self.mark:
                    yield f"{self.picture} is of another page"
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


def machine(rows: Mapping[str, Any], threads: int | None = None) -> str:
    """Where rows were measured.

    >>> machine({"machine": {"processor": "P", "num_cores": 2}, "versions": {"torch": "2.13", "python": "3.11"}}, 1)
    'P, 2 cores, 1 thread, torch 2.13, Python 3.11'
    """
    words = [rows["machine"]["processor"], f"{rows['machine']['num_cores']} cores"]
    words += [] if threads is None else [f"{threads} thread{'s' * (threads != 1)}"]
    return ", ".join([*words, f"torch {rows['versions']['torch']}", f"Python {rows['versions']['python']}"])


def new_chart(title: str, subtitle: str, x: str, y: str) -> tuple[Figure, Axes]:
    """A figure with two axes and their names."""
    figure = new_figure(1280, 720)
    write_title(figure, 60, title, subtitle)
    axes = axes_at(figure, 130, 130, 1090, 460)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
