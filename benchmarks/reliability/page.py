"""docs/reliability.md, from what benchmarks/results/reliability/ holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.provenance import sentence
from benchmarks.reliability import RESULTS, Kind, Row, kinds, read

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def page(folder: Path = RESULTS) -> str:
    """The page as Markdown: a table of all kinds, then each with its faults."""
    every = list(kinds().values())
    lines = [
        "# Reliability", "",
        "<!-- written by `python -m benchmarks.reliability page`; change that -->", "",
        "What was thrown at tinydigits, and what it held. Every figure is from a file of "
        "`benchmarks/results/reliability/`, which the command below its table writes anew. `make test` injects the "
        "same faults in smaller numbers. What is trusted: [security](security.md).", "",
        "| what goes wrong | injected | held |", "| :--- | ---: | ---: |",
    ]  # fmt: skip
    for kind in every:
        rows, _ = read(kind.name, folder)
        anchor = "".join(letter for letter in kind.title.lower() if letter.isalnum() or letter in " -_")
        lines.append(f"| [{kind.title}](#{anchor.replace(' ', '-')}) | {_sum(rows)} |")
    for kind in every:
        lines += ["", *_section(kind, folder)]
    return "\n".join(lines) + "\n"


def _sum(rows: list[Row]) -> str:
    if not rows:
        return "not measured yet |"
    return f"{sum(row.injected for row in rows):,} | {sum(row.held for row in rows):,}"


def _section(kind: Kind, folder: Path) -> Iterator[str]:
    rows, told = read(kind.name, folder)
    yield f"## {kind.title}"
    yield ""
    yield kind.text
    yield ""
    if not rows:
        yield f"Not measured yet: `python -m benchmarks.reliability {kind.name}`."
        return
    yield "| fault | injected | held | |"
    yield "| :--- | ---: | ---: | :--- |"
    for row in rows:
        held = f"{row.held:,}" if row.is_held else f"**{row.held:,}**"
        yield f"| {row.fault} | {row.injected:,} | {held} | {row.note} |"
    yield ""
    machine, versions = told["machine"], told["versions"]
    yield (
        f"`{told['command']}`, on {machine['num_cores']} cores of {machine['processor']}, torch {versions['torch']}, "
        f"Python {versions['python']}. {sentence(told)}"
    )
