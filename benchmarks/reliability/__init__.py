"""What is thrown at tinydigits, and what it holds: a file for each kind of fault.

A file here is a kind. It has `ORDER`, its place on the page; `inject(cases, done)`, which injects that many faults of
each row (None: as many as are claimed) and yields a `Row` for each that is not among the `done`; and a docstring, whose
first line is the heading on the page and the rest what was injected, and what counts as held. Where shipped weights or
recipes take part, `SUBJECTS` names them for `benchmarks.provenance.stamp`. `tests/reliability/` injects the same
faults, fewer of each.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.provenance import stamp
from tinydigits.machine import describe_machine, describe_versions
from tinydigits.run import write_atomic

__all__ = ["RESULTS", "Kind", "NotInjected", "Row", "count", "count_each", "kinds", "measure", "read", "write"]

RESULTS = Path(__file__).parents[1] / "results" / "reliability"
Subjects = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Row:
    """So many faults of one sort, and how many of them were held; `note` has what else was measured.

    >>> Row("a mirror that sends garbage", injected=4, held=4).is_held
    True
    """

    fault: str
    injected: int
    held: int
    note: str = ""

    @property
    def is_held(self) -> bool:
        """Whether every one was held, and there was one."""
        return 0 < self.injected == self.held


@dataclass(frozen=True)
class Kind:
    """One file of this folder."""

    name: str
    title: str
    text: str
    order: int
    inject: Callable[[int | None, Collection[str]], Iterator[Row]]
    subjects: Subjects = field(default_factory=dict)


def kinds() -> dict[str, Kind]:
    """Every kind of fault by name, in the order of the page."""
    found = []
    for path in Path(__file__).parent.glob("[a-z]*.py"):
        module = importlib.import_module(f"{__name__}.{path.stem}")
        if hasattr(module, "inject"):
            title, _, text = (module.__doc__ or "").partition("\n")
            subjects = getattr(module, "SUBJECTS", {})
            found.append(Kind(path.stem, title.rstrip("."), text.strip(), module.ORDER, module.inject, subjects))
    return {kind.name: kind for kind in sorted(found, key=lambda kind: (kind.order, kind.name))}


class NotInjected(Exception):
    """This machine does not let the fault be injected."""


def count(fault: str, cases: Iterable[list[str]], note: str = "") -> Row:
    """A row of cases, each of which says what was not as it should be; nothing where it was held.

    >>> count("a flood", [[], []])
    Row(fault='a flood', injected=2, held=2, note='')
    """
    held = injected = 0
    for found in cases:
        injected += 1
        held += not found
        for line in found:
            print(f"{fault}, number {injected}: {line}", flush=True)
    return Row(fault, injected, held, note)


def count_each(rows: Mapping[str, Iterable[list[str]]], done: Collection[str]) -> Iterator[Row]:
    """A row for each fault that is not among the `done`, and can be injected on this machine."""
    for fault, cases in rows.items():
        if fault not in done:
            try:
                yield count(fault, cases)
            except NotInjected as error:
                print(f"{fault}: not injected, {error}", flush=True)


def measure(kind: Kind, cases: int | None, folder: Path = RESULTS) -> list[Row]:
    """Inject the faults of a kind and keep what came of it, row by row: called again, what was stopped goes on.

    The kind's own file is written at the end, so that no page is made of half of it.
    """
    command = f"python -m benchmarks.reliability {kind.name}" + (f" --cases {cases}" if cases else "")
    unfinished = folder / "unfinished"
    rows, told = read(kind.name, unfinished)
    if told.get("command") != command or told.get("versions") != describe_versions():
        rows = []
    for row in kind.inject(cases, {row.fault for row in rows}):
        rows.append(row)
        print(f"{row.fault}: {row.held:,} of {row.injected:,} held {row.note}", flush=True)
        write(kind.name, rows, command, unfinished)
    write(kind.name, rows, command, folder, kind.subjects)
    (unfinished / f"{kind.name}.json").unlink(missing_ok=True)
    return rows


def write(name: str, rows: list[Row], command: str, folder: Path = RESULTS, subjects: Subjects | None = None) -> None:
    """Keep what was measured, and on what, with the machine and the command."""
    told = {**stamp(**(subjects or {})), "command": command}
    told |= {"machine": describe_machine(), "versions": describe_versions()}
    told |= {"rows": [asdict(row) for row in rows]}
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{name}.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def read(name: str, folder: Path = RESULTS) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a kind, and what else its file says; no rows where it has not been measured."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return [], {}
    told = json.loads(path.read_text(encoding="utf-8"))
    return [Row(**row) for row in told.pop("rows")], told
