"""Several runs beside each other: intervals, spread over seeds, McNemar's test of pairs, and who is on the frontier."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from tinydigits import figures
from tinydigits.errors import TinydigitsError
from tinydigits.escape import markdown
from tinydigits.report import text
from tinydigits.report.command import what_decides
from tinydigits.run import Answers, Paired, Record, Run, comparable_answers, pair, settings_of
from tinydigits.stats import Interval, adjust_holm, mean_interval, wilson_interval
from tinydigits.verdict import Verdict

__all__ = ["Compared", "Comparison", "Entry", "Pair", "compare", "comparison_page"]

_IN_COLUMNS = ("name", "seed", "epochs")
_MOST_VARIED = 8  # settings that stand in the table
_ALL_PAIRS = 8  # of more runs, each is tested against the most accurate one


@dataclass(frozen=True)
class Entry:
    """One run of a comparison; `counts` are right answers and images by split."""

    number: int
    run: Run
    record: Record
    verdict: Verdict | None
    counts: Mapping[str, tuple[int, int]]
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Recipe and seed."""
        return f"{self.record.recipe['name']} s{self.record.recipe['seed']}"


@dataclass(frozen=True)
class Compared:
    """Runs that differ in nothing but the seed."""

    entries: tuple[Entry, ...]
    accuracies: tuple[float, ...]

    @property
    def spread(self) -> str:
        """Mean and standard deviation over seeds, in per cent."""
        return figures.spread(self.accuracies)

    @property
    def interval(self) -> Interval | None:
        """Student's interval of the mean, from two seeds on."""
        return mean_interval(self.accuracies) if len(self.accuracies) > 1 else None


@dataclass(frozen=True)
class Pair:
    """Two runs on the same images, and McNemar's p adjusted for all pairs of the page."""

    first: Entry
    second: Entry
    paired: Paired
    adjusted: float


@dataclass(frozen=True)
class Comparison:
    """All of it. `split` is what the runs are compared on: test where all were asked it, else the one they share."""

    entries: tuple[Entry, ...]
    split: str | None
    varied: tuple[str, ...]
    groups: tuple[Compared, ...]
    pairs: tuple[Pair, ...]
    against_best: bool

    @property
    def has_seeds(self) -> bool:
        """Whether any settings were trained under several seeds."""
        return any(len(group.entries) > 1 for group in self.groups)

    def frontier(self) -> list[Entry]:
        """The runs that no smaller or equally small one matches, smallest first."""
        best, frontier = -1.0, []
        for entry in sorted(self.placed(), key=lambda entry: (entry.record.num_parameters, -self.accuracy(entry))):
            if self.accuracy(entry) > best:
                best = self.accuracy(entry)
                frontier.append(entry)
        return frontier

    def placed(self) -> list[Entry]:
        """The runs that have an accuracy on the split."""
        return [entry for entry in self.entries if self.split in entry.counts]

    def accuracy(self, entry: Entry) -> float:
        """On the split, as a share of 1."""
        correct, seen = entry.counts[str(self.split)]
        return correct / seen


def compare(runs: Sequence[Run]) -> Comparison:
    """Put runs beside each other; raises TinydigitsError for none, or where a run is damaged.

    >>> compare([])
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: report: got no run, expected at least one
      try: tinydigits train
    """
    if not runs:
        raise TinydigitsError("report", got="no run", expected="at least one", hint="tinydigits train")
    entries = tuple(_entry(number, run) for number, run in enumerate(runs, start=1))
    shared = [split for split in ("test", "validation", "train") if all(split in entry.counts for entry in entries)]
    split = shared[0] if shared else None
    names = dict.fromkeys(name for entry in entries for name in entry.settings if name not in _IN_COLUMNS)
    varied = tuple(n for n in names if any(e.settings.get(n) != entries[0].settings.get(n) for e in entries))
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(json.dumps(what_decides(entry.record), sort_keys=True), []).append(entry)
    shares = {entry.number: correct / seen for entry in entries if split for correct, seen in [entry.counts[split]]}
    compared = [Compared(tuple(group), tuple(shares[e.number] for e in group)) for group in groups.values() if shares]
    pairs, against_best = _pairs(entries)
    return Comparison(entries, split, varied, tuple(compared), pairs, against_best)


def _entry(number: int, run: Run) -> Entry:
    record, verdict = run.record, run.verdict
    counts: dict[str, tuple[int, int]] = {}
    if record.result:
        counts[record.result.split] = (record.result.correct, record.result.seen)
    if verdict is not None and verdict.test_counts:
        counts["test"] = verdict.test_counts
    return Entry(number, run, record, verdict, counts, settings_of(record))


def _pairs(entries: Sequence[Entry]) -> tuple[tuple[Pair, ...], bool]:
    """McNemar's test on the test images where both keep their answers, else on their own."""
    answers = {entry.number: comparable_answers(entry.run) for entry in entries}
    couples = list(combinations(entries, 2))
    against_best = len(entries) > _ALL_PAIRS
    if against_best:
        best = max(entries, key=lambda entry: _first_share(answers[entry.number]))
        couples = [(best, entry) for entry in entries if entry is not best]
    tested: list[tuple[Entry, Entry, Paired]] = []
    for first, second in couples:
        common = [images for images in answers[first.number] if images in answers[second.number]]
        if common:
            images = common[0]  # test comes first
            tested.append((first, second, pair(answers[first.number][images], answers[second.number][images])))
    adjusted = adjust_holm([paired.p_value for _, _, paired in tested])
    return tuple(Pair(*three, p) for three, p in zip(tested, adjusted, strict=True)), against_best


def _first_share(answers: Mapping[Any, Answers]) -> float:
    first = next(iter(answers.values()), None)
    return first.correct / first.seen if first else 0.0


def runs_table(comparison: Comparison) -> tuple[list[str], list[list[str]], str]:
    """Head, rows and alignment: every run with its sizes, accuracies and intervals."""
    splits = [s for s in ("test", "validation", "train") if any(s in e.counts for e in comparison.entries)]
    head = ["no.", "run", *(f"{split} accuracy (95 % interval)" for split in splits), "contract"]
    head += ["parameters", "epochs", "seconds", "recipe", "seed"]
    rows = []
    for entry in comparison.entries:
        record, row = entry.record, [str(entry.number), entry.run.name]
        for split in splits:
            counts = entry.counts.get(split)
            interval = f" ({figures.interval(wilson_interval(*counts))})" if counts else ""
            row.append(figures.percent(counts[0] / counts[1]) + interval if counts else "")
        row.append(f"{entry.verdict.contract.name}: {entry.verdict.word}" if entry.verdict is not None else "")
        row += [f"{record.num_parameters:,}", str(record.epochs), f"{record.seconds.training:,.1f}"]
        row += [record.recipe["name"], str(record.recipe["seed"])]
        rows.append(row)
    return head, rows, "rl" + "r" * len(splits) + "lrrrlr"


def settings_table(comparison: Comparison) -> tuple[list[str], list[list[str]], str]:
    """Head, rows and alignment: the settings that are not the same in all runs."""
    names = comparison.varied[:_MOST_VARIED]
    rows = [
        [str(entry.number), *(figures.setting(entry.settings.get(n)) for n in names)] for entry in comparison.entries
    ]
    return ["no.", *names], rows, "r" + "l" * len(names)


def settings_note(comparison: Comparison) -> str:
    """How settings are named, and how many of them there are beside those of the table."""
    more = len(comparison.varied) - _MOST_VARIED
    return "As --set names them" + (f"; {more} more are not shown" if more > 0 else "")


def groups_table(comparison: Comparison) -> tuple[list[str], list[list[str]], str]:
    """Head, rows and alignment: mean and spread over the seeds of equal settings."""
    names = comparison.varied[:_MOST_VARIED]
    rows = [
        [
            group.entries[0].record.recipe["name"],
            *(figures.setting(group.entries[0].settings.get(name)) for name in names),
            ", ".join(str(entry.number) for entry in group.entries),
            f"{group.entries[0].record.num_parameters:,}", str(len(group.entries)), group.spread,
            figures.interval(group.interval) if group.interval else "one seed says nothing of spread",
        ]
        for group in comparison.groups
    ]  # fmt: skip
    head = ["recipe", *names, "runs", "parameters", "seeds", f"{comparison.split} accuracy", "95 % of the mean"]
    return head, rows, "l" * (2 + len(names)) + "rrrr"


def pairs_table(comparison: Comparison) -> tuple[list[str], list[list[str]], str]:
    """Head, rows and alignment: McNemar's test of pairs."""
    rows = [
        [
            f"{p.first.number} and {p.second.number}", f"{p.paired.seen:,} {p.paired.what}", f"{p.paired.won:,}",
            f"{p.paired.lost:,}", figures.points(p.paired.difference),
            figures.points_interval(p.paired.interval), figures.p_value(p.paired.p_value),
            figures.p_value(p.adjusted),
        ]
        for p in comparison.pairs
    ]  # fmt: skip
    head = ["runs", "images", "only the first right", "only the second", "difference, points", "95 % interval", "p"]
    return [*head, "p of all (Holm)"], rows, "llrrrrrr"


SEEDS_NOTE = (
    "± is the standard deviation over seeds, and the interval Student's, of their mean. It is another uncertainty than "
    "the interval of a single run (Wilson's), which is the error of a set of this size and is shared by all runs on it."
)


def pairs_note(comparison: Comparison) -> str:
    """What the pairs are."""
    which = (
        "each run with the most accurate one, which was chosen by these images"
        if comparison.against_best
        else "every two"
    )
    return (
        f"McNemar's exact test on the images that only one of two runs gets right; pairs: {which}. The last column is "
        "p raised for the number of pairs: below 0.05, the two differ by more than chance explains."
    )


def comparison_page(comparison: Comparison, title: str, folder: Path) -> str:
    """The comparison as Markdown, with links as seen from `folder`."""
    parts = [f"# {markdown(title)}", text.table(*runs_table(comparison))]
    if comparison.varied:
        parts += ["## Settings that differ", text.table(*settings_table(comparison))]
    if comparison.placed():
        name = f"Parameters against {comparison.split} accuracy"
        parts += [f"## {name}", text.picture("frontier.svg", name)]
    if comparison.has_seeds:
        parts += ["## Over seeds", text.table(*groups_table(comparison)), SEEDS_NOTE]
    if comparison.pairs:
        parts += ["## Pairs on the same images", text.table(*pairs_table(comparison)), pairs_note(comparison)]
    parts.append("Each run's own page:")
    places = [Path(os.path.relpath(entry.run.folder, folder), "report.md").as_posix() for entry in comparison.entries]
    links = zip(comparison.entries, places, strict=True)
    parts.append("\n".join(f"{entry.number}. {text.link(entry.run.name, place)}" for entry, place in links))
    return "\n\n".join(parts) + "\n"
