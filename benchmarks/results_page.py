"""The results page: each system's claim beside what its recipes reach, made from records and verdicts alone.

Accuracies, times and memory are those of the rows. Receptive field and multiply-adds are traced from today's models.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.protocol import DOCS, RESULTS, Page
from benchmarks.rows import Row, load_rows
from tinydigits import figures, models
from tinydigits.errors import TinydigitsError
from tinydigits.figures import points
from tinydigits.machine import machine_words
from tinydigits.report import text
from tinydigits.report.command import what_decides
from tinydigits.stats import mean_and_sd, shortfall
from tinydigits.trace import trace

__all__ = ["Claims", "Structure", "System", "load_claims", "pages", "part", "results_page"]

PAGE = DOCS / "results.md"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class System(_Part):
    """A published project: its claim in words and as numbers, what its own code has, and our recipes for it."""

    name: str
    claim: str
    short: str
    accuracy: Annotated[float, Field(gt=0, lt=1)]
    epochs: Annotated[int, Field(ge=1)]
    code: str
    published: str
    tuned: str | None = None

    @property
    def recipes(self) -> list[str]:
        """The published recipe, then the tuned one where there is one."""
        return [self.published] + ([self.tuned] if self.tuned else [])


class Claims(_Part):
    """All systems, in the order of the page, and the data set whose test images they claim to know."""

    source: str
    system: tuple[System, ...]


@dataclass(frozen=True)
class Structure:
    """What a model's trace says: parameters, rows and columns of the receptive field, multiply-adds for one image."""

    num_parameters: int
    receptive_field: tuple[int, int]
    multiply_adds: int


def load_claims(path: Path) -> Claims:
    """Read `claims.toml`; raises TinydigitsError for a key that is missing or unknown."""
    try:
        return Claims.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise TinydigitsError(str(path), str(error)) from error


def pages() -> Iterator[Page]:
    rows = load_rows(RESULTS / "reference")
    yield Page(PAGE, results_page(rows, load_claims(RESULTS / "claims.toml"), structures(rows)))


def part() -> str:
    """The first table of the page, for the README."""
    table = re.search(r"^\|.*?\n(?=\n)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert table, "docs/results.md has no table"
    return table.group().replace("](#", "](docs/results.md#")


def structures(rows: Sequence[Row]) -> dict[str, Structure]:
    """The trace of every model that the rows name, by its name."""
    options = {row.record.recipe["model"]["name"]: row.record.recipe["model"].get("options", {}) for row in rows}
    graphs = {name: trace(models.build(name, options[name])) for name in options}
    return {name: Structure(graph.num_parameters, graph.receptive_field, graph.macs) for name, graph in graphs.items()}


def results_page(rows: Sequence[Row], claims: Claims, structures: Mapping[str, Structure] | None = None) -> str:
    """The page as Markdown, every figure from `rows`; `structures` holds the trace of each model by its name.

    >>> claim = System(
    ...     name="four-conv", claim="Over 95 %.", short="> 95 %", accuracy=0.95, epochs=1, code="",
    ...     published="four-conv",
    ... )
    >>> print(results_page([], Claims(source="mnist", system=(claim,))).splitlines()[-1])
    `four-conv` has not been measured yet.

    Accuracy is the mean over all rows of a recipe, at the last epoch, with the sample standard deviation over seeds;
    the test set's own error stands apart. Raises TinydigitsError where the rows of a recipe do not belong together: of
    other test images, of recipes that differ in more than the seed, or of a model that has changed since.
    """
    structures = structures or {}
    groups = {
        recipe: [row for row in rows if row.recipe == recipe] for system in claims.system for recipe in system.recipes
    }
    for row in rows:
        if row.recipe not in groups:
            raise TinydigitsError(f"row {row.recipe} s{row.seed}", "no system names its recipe", hint="claims.toml")
    for group in groups.values():
        _must_belong_together(group, claims.source, structures)
    parts = [
        "# Results",
        "<!-- Made by `python -m benchmarks results_page page` from benchmarks/results. Do not edit. -->",
        "Five published MNIST projects claim an accuracy under a limit of parameters and epochs. This page measures "
        "each claim on the official test images, which no training has seen: every figure is `tinydigits verify`'s "
        "count after the last epoch, without a choice of epoch or seed.",
        _summary(claims, groups),
        "± is the sample standard deviation over the seeds. It is not the test set's own error, which each section "
        "gives beside it: another 10,000 images would move all seeds together by about that much.",
    ]
    for system in claims.system:
        parts += _section(system, groups, structures)
    return "\n\n".join(parts) + "\n"


def _must_belong_together(group: Sequence[Row], source: str, structures: Mapping[str, Structure]) -> None:
    for row in group:
        where = f"row {row.recipe} s{row.seed}"
        first, record, found = group[0], row.record, structures.get(row.record.recipe["model"]["name"])
        if found is not None and found.num_parameters != record.num_parameters:
            raise TinydigitsError(
                where, "was measured on another model than today's",
                got=f"{record.num_parameters:,} parameters", expected=f"{found.num_parameters:,}",
            )  # fmt: skip
        if row.test_set.source != source or row.test_set.sha256 != first.test_set.sha256:
            raise TinydigitsError(where, "was measured on other test images", got=row.test_set.source, expected=source)
        if what_decides(record) != what_decides(first.record):
            raise TinydigitsError(where, f"followed another recipe than seed {first.seed} of the same name")


def _summary(claims: Claims, groups: Mapping[str, Sequence[Row]]) -> str:
    lines = []
    for system in claims.system:
        for recipe in system.recipes:
            group = groups[recipe]
            first = text.link(system.name, f"#{system.name}") if recipe == system.published else ""
            if not group:
                lines.append([first, f"`{recipe}`", "", "", "not measured yet", system.short, ""])
                continue
            lines.append([
                first, f"`{recipe}`", _distinct(f"{row.record.num_parameters:,}" for row in group),
                _distinct(row.record.epochs for row in group), f"{_accuracy(group)}, n = {len(group)}",
                system.short, _claim_holds(system, group),
            ])  # fmt: skip
    header = ["system", "recipe", "parameters", "epochs", "test accuracy", "claim", "on the test images"]
    return text.table(header, lines, "llrrrll")


def _section(system: System, groups: Mapping[str, Sequence[Row]], structures: Mapping[str, Structure]) -> Iterator[str]:
    yield f"## {system.name}"
    yield f"**Claim.** {system.claim}"
    yield f"**The document's own code.** {' '.join(system.code.split())}"
    measured = [recipe for recipe in system.recipes if groups[recipe]]
    if measured:
        header = [""] + [
            f"`{recipe}`, {'as published' if recipe == system.published else 'tuned'}" for recipe in measured
        ]
        facts = [_facts(system, groups[recipe], structures) for recipe in measured]
        yield text.table(header, [[name, *(column[name] for column in facts)] for name in facts[0]])
        commands = [command for recipe in measured for command in _commands(groups[recipe])]
        yield "```\n" + "\n".join(commands) + "\n```"
    for recipe in system.recipes:
        if recipe not in measured:
            yield f"`{recipe}` has not been measured yet."


def _facts(system: System, group: Sequence[Row], structures: Mapping[str, Structure]) -> dict[str, str]:
    records = [row.record for row in group]
    found = structures.get(records[0].recipe["model"]["name"])
    num_images = group[0].test_counts[1]
    share = sum(row.test_counts[0] for row in group) / (num_images * len(group))
    shifts = {row.shift_pixels for row in group} - {0}
    return {
        "right test images, seed by seed": ", ".join(f"{row.test_counts[0]:,}" for row in group)
        + f" of {num_images:,} ({'seed' if len(group) == 1 else 'seeds'} {', '.join(str(row.seed) for row in group)})",
        "accuracy, mean ± sd over seeds": _accuracy(group),
        "the test set's own error": f"± {points(math.sqrt(share * (1 - share) / num_images), 3)[1:]} points (binomial)",
        "claim": _claim_holds(system, group),
        "verdict": _verdicts(group),
        "test-time augmentation": _distinct(f"shifts of up to {shift} pixels" for shift in sorted(shifts)) or "none",
        "parameters": _distinct(f"{record.num_parameters:,}" for record in records),
        "receptive field": "×".join(map(str, found.receptive_field)) if found else "not traced",
        "multiply-adds for one image": f"{found.multiply_adds:,}" if found else "not traced",
        "epochs": _distinct(record.epochs for record in records),
        "images seen": _distinct(f"{record.images_seen:,}" for record in records),
        "training seconds": _spread(group, lambda row: row.record.seconds.training),
        "start-up and evaluation seconds": _spread(
            group, lambda row: row.record.seconds.start_up + row.record.seconds.evaluation
        ),
        "peak memory": f"at most {figures.megabytes(max(record.peak_memory_bytes for record in records))}",
        "machine": _distinct(machine_words(r.machine, r.device, r.threads) for r in records),
        "versions": _distinct(", ".join(f"{name} {number}" for name, number in r.versions.items()) for r in records),
    }


def _accuracy(group: Sequence[Row]) -> str:
    return figures.spread([correct / seen for correct, seen in (row.test_counts for row in group)])


def _claim_holds(system: System, group: Sequence[Row]) -> str:
    mean, _ = mean_and_sd([correct / seen for correct, seen in (row.test_counts for row in group)])
    epochs = max(row.record.epochs for row in group)
    if epochs > system.epochs:
        return f"takes {epochs} epochs, not {system.epochs}"
    missing = shortfall(mean, system.accuracy)
    return "holds" if missing <= 0 else f"misses by {points(missing, 3)[1:]} points"


def _verdicts(group: Sequence[Row]) -> str:
    holding = sum(row.verdict.word == "holds" for row in group)
    broken = sorted({f"{finding.check} {finding.status}" for row in group for finding in row.verdict.not_passed})
    contract = _distinct(row.verdict.contract.name for row in group)
    words = f"contract {contract} holds for {holding} of {len(group)}"
    return words + (f" ({', '.join(broken)})" if broken else "")


def _spread(group: Sequence[Row], seconds_of: Callable[[Row], float]) -> str:
    mean, sd = mean_and_sd([seconds_of(row) for row in group])
    return f"{mean:.1f}" if math.isnan(sd) else f"{mean:.1f} ± {sd:.1f}"


def _commands(group: Sequence[Row]) -> Iterator[str]:
    """One line where the seeds follow each other on equal devices, otherwise a line each."""
    first = group[0]
    follow = [row.seed for row in group] == list(range(first.seed, first.seed + len(group)))
    alike = len({(row.record.device, row.record.threads) for row in group}) == 1
    if follow and alike:
        yield first.command(len(group))
    else:
        yield from (row.command() for row in group)
    yield f"tinydigits verify runs/…_{first.recipe}_s{first.seed}"


def _distinct(values: Iterable[object]) -> str:
    """The different values, in order of appearance."""
    return "; ".join(dict.fromkeys(str(value) for value in values))


COMMANDS = ()
