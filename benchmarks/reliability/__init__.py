"""What is thrown at tinydigits, and what it holds: a file for each kind of fault.

    python -m benchmarks reliability measure KIND [--cases N]

A file here is a kind. It has `ORDER`, its place on the page; `inject(cases, done)`, which injects that many faults of
each row (None: as many as are claimed) and yields a `Row` for each that is not among the `done`; and a docstring, whose
first line is the heading on the page and the rest what was injected, and what counts as held. Where shipped weights or
recipes take part, `SUBJECTS` names them for `benchmarks.provenance.stamp`. `tests/reliability/` injects the same
faults, fewer of each.

A measurement that was stopped goes on, when it is called again, after the last row that it finished.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.protocol import LAB, RESULTS, Page, machine, read_rows, write_rows
from benchmarks.provenance import sentence, stamp
from tinydigits.escape import Markdown
from tinydigits.machine import describe_versions
from tinydigits.report.text import table

__all__ = [
    "FOLDER", "Kind", "NotInjected", "Row", "count", "count_each", "inject", "kinds", "measure", "page", "pages",
    "read", "write",
]  # fmt: skip

FOLDER = RESULTS / "reliability"
PAGE = LAB / "reliability.md"
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


def measure(kind: str, cases: int | None = None) -> int:
    """Inject so many faults of each row of a kind, or as many as are claimed; exit code 1 where one was not held."""
    rows = inject(kinds()[kind], cases)
    print("next: python -m benchmarks reliability page")
    return int(not all(row.is_held for row in rows))


def inject(kind: Kind, cases: int | None, folder: Path = FOLDER) -> list[Row]:
    """Inject the faults of a kind and keep what came of it, row by row: called again, what was stopped goes on.

    The kind's own file is written at the end, so that no page is made of half of it.
    """
    command = f"python -m benchmarks reliability measure {kind.name}" + (f" --cases {cases}" if cases else "")
    unfinished = folder / "unfinished"
    rows, about = read(kind.name, unfinished)
    if about.get("command") != command or about.get("versions") != describe_versions():
        rows = []
    for row in kind.inject(cases, {row.fault for row in rows}):
        rows.append(row)
        print(f"{row.fault}: {row.held:,} of {row.injected:,} held {row.note}", flush=True)
        write(kind.name, rows, command, unfinished)
    write(kind.name, rows, command, folder, kind.subjects)
    (unfinished / f"{kind.name}.json").unlink(missing_ok=True)
    return rows


def write(name: str, rows: list[Row], command: str, folder: Path = FOLDER, subjects: Subjects | None = None) -> None:
    """Keep what was measured, and on what, with the machine and the command."""
    about = {**stamp(**(subjects or {})), "command": command}
    write_rows(folder / f"{name}.json", {**about, "rows": [asdict(row) for row in rows]})


def read(name: str, folder: Path = FOLDER) -> tuple[list[Row], dict[str, Any]]:
    """The rows of a kind, and what else its file says; no rows where it has not been measured."""
    about = read_rows(folder / f"{name}.json")
    return [Row(**row) for row in about.pop("rows", [])], about


def pages() -> Iterator[Page]:
    yield Page(PAGE, page(), sorted(FOLDER.glob("*.json")))


def page(folder: Path = FOLDER) -> str:
    """The page as Markdown: a table of all kinds, then each with its faults."""
    cells, sections = [], []
    for kind in kinds().values():
        rows, about = read(kind.name, folder)
        anchor = "".join(letter for letter in kind.title.lower() if letter.isalnum() or letter in " -_")
        sums = [f"{sum(row.injected for row in rows):,}", f"{sum(row.held for row in rows):,}"]
        link = Markdown(f"[{kind.title}](#{anchor.replace(' ', '-')})")
        cells.append([link, *(sums if rows else ["not measured yet", ""])])
        sections += [f"## {kind.title}", kind.text]
        if not rows:
            sections.append(f"Not measured yet: `python -m benchmarks reliability measure {kind.name}`.")
            continue
        faults = (
            [
                row.fault,
                f"{row.injected:,}",
                f"{row.held:,}" if row.is_held else Markdown(f"**{row.held:,}**"),
                row.note,
            ]
            for row in rows
        )
        sections.append(table(["fault", "injected", "held", ""], faults, "lrr"))
        sections.append(f"`{about['command']}`, on {machine(about)}. {sentence(about)}")
    return "\n\n".join([
        "# Reliability",
        "<!-- written by `python -m benchmarks reliability page`; change that -->",
        "What was thrown at tinydigits, and what it held. Every figure is from a file of "
        "`benchmarks/results/reliability/`, which the command below its table writes anew. `make test` injects the "
        "same faults in smaller numbers. What is trusted: [security](../security.md).",
        table(["what goes wrong", "injected", "held"], cells, "lrr"),
        *sections,
    ]) + "\n"  # fmt: skip


COMMANDS = (measure,)
