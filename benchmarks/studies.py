"""The published two-conv project's two studies, redone: does accuracy rise as batch size, and as dropout, falls?

`measure` works on three sweeps that come with the package, and on a fourth: batch sizes once more, each with the
learning rate that was best for it on held-out training images. Each trained model is asked for the official test images
once, by the verifier. What has been measured goes to benchmarks/results/studies: settings, seed, right answers, wrong
images.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.protocol import LAB, RESULTS, Page, made_by, new_frame, read_rows
from benchmarks.provenance import sentence, stamp
from tinydigits import figures, sweep
from tinydigits.machine import machine_words
from tinydigits.report.scales import round_ticks
from tinydigits.report.svg import Chart, text
from tinydigits.report.text import picture, table
from tinydigits.run import Run, write_atomic
from tinydigits.stats import Interval, mcnemar, mean_interval
from tinydigits.sweep import Study, Sweep

ROWS = RESULTS / "studies"
RATES, TUNED = "two-conv-batch-size-rates", "two-conv-batch-size-tuned"

Row = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """A published claim: accuracy rises from each of `values` to the next."""

    page: str
    title: str
    key: str
    values: tuple[float, ...]
    sweeps: tuple[tuple[str, str], ...]
    """What is fixed, and the sweep of it."""


QUESTIONS = (
    Question(
        "batch-size", "Batch size", "data.batch_size", (128, 100, 50, 10),
        (("the published learning rate, 0.005", "two-conv-batch-size"), ("a learning rate tuned for each", TUNED)),
    ),
    Question(
        "dropout", "Dropout", "model.dropout", (0.25, 0.2, 0.1, 0.005),
        (("all else as published", "two-conv-dropout"),),
    ),
)  # fmt: skip


def tuned(rates: Sequence[Row]) -> Sweep:
    """The batch sizes, each with the rate of the highest mean accuracy on validation images."""
    best: dict[int, tuple[float, float]] = {}
    groups: dict[tuple[int, float], list[float]] = {}
    for row in rates:
        assert row["split"] == "validation"
        key = (row["settings"]["data.batch_size"], row["settings"]["optimizer.lr"])
        groups.setdefault(key, []).append(row["correct"] / row["seen"])
    for (size, rate), accuracies in groups.items():
        best[size] = max(best.get(size, (0.0, 0.0)), (fmean(accuracies), rate))
    published = sweep.load("two-conv-batch-size")
    cases = [{"data.batch_size": size, "optimizer.lr": best[size][1]} for size in published.vary["data.batch_size"]]
    return Sweep(name=TUNED, recipe=published.recipe, cases=cases, seeds=published.seeds, verify=True)


def write_trials(study: Study) -> None:
    """Write the rows of all trials of a study that have ended."""
    rows, about = [], {}
    for row in study.standing().done:
        if row.state != "finished":
            continue
        run = Run(study.folder / row.run)
        entry = {"settings": row.settings, "seed": row.seed} | {
            key: row.facts[key] for key in _FACTS if key in row.facts
        }
        if (run.folder / "predictions.npz").is_file():
            with np.load(run.folder / "predictions.npz") as kept:
                entry["wrong"] = np.flatnonzero(kept["predicted"] != kept["labels"]).tolist()
        rows.append(entry)
        record = run.record
        about = {"machine": record.machine, "versions": record.versions, "threads": record.threads}
    total = study.standing().total
    sweep_tree = study.sweep.model_dump(mode="json", exclude_defaults=True)
    tree = {**stamp(recipes=[study.sweep.recipe]), "sweep": sweep_tree, "trials": total, **about}
    text = json.dumps(tree, indent=1)[:-2] + ',\n "rows": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]}\n"
    ROWS.mkdir(parents=True, exist_ok=True)
    write_atomic(ROWS / f"{study.sweep.name}.json", text)


_FACTS = ("split", "correct", "seen", "training_seconds", "verdict")


def load(name: str) -> tuple[dict[str, Any], list[Row]]:
    """What has been measured of a sweep: about it, and its rows; both empty where nothing has."""
    tree = read_rows(ROWS / f"{name}.json")
    return tree, tree.pop("rows", [])


def pages() -> Iterator[Page]:
    for question in QUESTIONS:
        sources = [ROWS / f"{name}.json" for _, name in question.sweeps]
        yield Page(LAB / "studies" / f"{question.page}.md", page(question), sources, draw(question))


def page(question: Question) -> str:
    """A study's page; what has not been measured to its end is said to be so."""
    values = " → ".join(f"{value:g}" for value in question.values)
    lines = [
        f"# {question.title} of two-conv",
        made_by("studies", ROWS),
        f"The published claim: accuracy rises as {question.title.lower()} falls {values}. It was one run each, counted "
        "on training images, with other settings changed at the same time. Here: the published recipe, one epoch of "
        "all 60,000 images, the same seeds for every value, and the 10,000 official test images, asked once for each "
        "trained model by the verifier.",
        *_in_short(question),
        picture(f"{question.page}.svg", f"Accuracy by {question.title.lower()}"),
    ]
    for fixed, name in question.sweeps:
        about, rows = load(name)
        lines += [f"## {_condition(fixed)}"]
        lines += [_RATES] if name == TUNED else []
        lines += _study(question, name, about, rows) if rows else ["Not measured yet."]
    lines += [
        "## How to read this",
        "± is the sample standard deviation over seeds, the interval Student's of the mean. *Difference* is paired: "
        "the same seed with one value and the next, so the same first weights; its interval is Student's, at 95 % for "
        "all steps together (Bonferroni). It says whether the *setting* matters. McNemar's test, on the same images, "
        "says whether two *trained models* differ; it is counted for how many seeds they do (p < 0.05) and which way.",
    ]
    return "\n\n".join(lines) + "\n"


_RATES = (
    f"Which rate was best was asked of 10,000 held-out training images, by `{RATES}`: of four rates the one of the "
    "highest mean over two other seeds. Then each was trained on all 60,000."
)


def _condition(fixed: str) -> str:
    return f"With {fixed}" if "rate" in fixed else fixed.capitalize()


def _in_short(question: Question) -> list[str]:
    """What came out under each condition, and how much of it the last takes away; nothing before all is measured."""
    measured = [(fixed, *load(name)) for fixed, name in question.sweeps]
    if not all(rows and len(rows) == about["trials"] for _, about, rows in measured):
        return []
    first, last = question.values[0], question.values[-1]
    lines, gains = ["## In short"], []
    for fixed, _, rows in measured:
        ends = [_of(rows, question.key, value) for value in (first, last)]
        lines.append(f"{_condition(fixed)}, {_ends(question, _step(*ends, 1))}.")
        gains.append([_share(new) - _share(old) for old, new in zip(*ends, strict=True)])
    if len(gains) > 1:
        lost = [one - other for one, other in zip(gains[0], gains[-1], strict=True)]
        interval = mean_interval(lost)
        word = "certain" if interval.low > 0 or interval.high < 0 else "not certain"
        lines.append(
            f"{measured[-1][0].capitalize()} takes {figures.points(fmean(lost))[1:]} points of that away "
            f"(95 % interval {figures.points_interval(interval)}, paired by seed), which is {word}."
        )
    return lines


def _study(question: Question, name: str, about: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    groups = {value: _of(rows, question.key, value) for value in question.values}
    found = [
        f"`{name}`: {machine_words(about['machine'], threads=about['threads'])}, torch {about['versions']['torch']}. "
        + sentence(about),
        _accuracies(question, groups),
    ]
    if len(rows) < about["trials"]:
        return [*found, f"{len(rows)} of {about['trials']} trainings are done, so nothing is concluded yet."]
    steps = list(zip(question.values, question.values[1:], strict=False))
    compared = [_step(groups[before], groups[after], len(steps)) for before, after in steps]
    whole = _step(groups[question.values[0]], groups[question.values[-1]], 1)
    cells = [
        [f"{before:g} → {after:g}", *step.cells()]
        for (before, after), step in [
            *zip(steps, compared, strict=True), ((question.values[0], question.values[-1]), whole),
        ]
    ]  # fmt: skip
    header = ["step", "difference, points", "interval", "McNemar: better, worse", "accuracy"]
    return [*found, table(header, cells, "lrrrl"), _conclusion(question, steps, compared, whole)]


def _of(rows: Sequence[Row], key: str, value: float) -> list[Row]:
    return sorted((row for row in rows if row["settings"][key] == value), key=lambda row: row["seed"])


def _accuracies(question: Question, groups: dict[float, list[Row]]) -> str:
    cells = []
    for value, group in groups.items():
        if not group:
            cells.append([f"{value:g}", "", "0", "not measured yet", ""])
            continue
        shares = [_share(row) for row in group]
        ends = figures.interval(mean_interval(shares), 3) if len(shares) > 1 else ""
        cells.append([
            f"{value:g}", f"{group[0]['settings'].get('optimizer.lr', 0.005):g}", str(len(group)),
            figures.spread(shares).removesuffix(" %"), ends.removesuffix(" %"),
        ])  # fmt: skip
    header = [question.title.lower(), "learning rate", "seeds", "test accuracy, %", "95 % interval"]
    return table(header, cells, "rrrrr")


def _share(row: Row) -> float:
    return float(row["correct"] / row["seen"])


@dataclass(frozen=True)
class Step:
    """One value against the next: the mean difference in points with its interval, and McNemar by seed."""

    difference: float
    low: float
    high: float
    better: int
    worse: int

    @property
    def word(self) -> str:
        return "rises" if self.low > 0 else "falls" if self.high < 0 else "undecided"

    def cells(self) -> list[str]:
        ends = figures.points_interval(Interval(self.low, self.high), 3)
        return [figures.points(self.difference, 3), ends, f"{self.better}, {self.worse}", self.word]


def _step(before: Sequence[Row], after: Sequence[Row], num_steps: int) -> Step:
    pairs = list(zip(before, after, strict=True))
    assert all(old["seed"] == new["seed"] for old, new in pairs)
    differences = [_share(new) - _share(old) for old, new in pairs]
    interval = mean_interval(differences, 1 - 0.05 / num_steps)
    better = worse = 0
    for old, new in pairs:
        won, lost = len(set(old["wrong"]) - set(new["wrong"])), len(set(new["wrong"]) - set(old["wrong"]))
        if mcnemar(won, lost) < 0.05:
            better, worse = better + (won > lost), worse + (won < lost)
    return Step(fmean(differences), interval.low, interval.high, better, worse)


def _conclusion(question: Question, steps: Sequence[tuple[float, float]], compared: Sequence[Step], whole: Step) -> str:
    words = {step.word for step in compared}
    by_word = []
    for word, said in (("rises", "Rises"), ("falls", "Falls"), ("undecided", "Is undecided")):
        found = [f"{a:g} → {b:g}" for (a, b), step in zip(steps, compared, strict=True) if step.word == word]
        by_word += [f"{said}: {', '.join(found)}."] if found else []
    verdict = "holds at every step" if words == {"rises"} else "is not certain at every step"
    verdict = "does not hold at every step" if "falls" in words else verdict
    return f"**The claim {verdict}; {_ends(question, whole)}.** {' '.join(by_word)}"


def _ends(question: Question, whole: Step) -> str:
    first, last = question.values[0], question.values[-1]
    return {
        "rises": f"from {first:g} to {last:g} accuracy rises by {figures.points(whole.difference)[1:]} points",
        "falls": f"from {first:g} to {last:g} accuracy falls by {figures.points(-whole.difference)[1:]} points",
        "undecided": f"from {first:g} to {last:g} no difference is certain ({figures.points(whole.difference)} points)",
    }[whole.word]


def draw(question: Question) -> Chart:
    """Each seed as a dot, the mean and its 95 % interval beside them."""
    name, last = question.title.lower(), len(question.values) - 1
    groups = [
        [[100 * _share(row) for row in _of(load(sweep_name)[1], question.key, value)] for value in question.values]
        for _, sweep_name in question.sweeps
    ]
    intervals = [[mean_interval(values) for values in group] for group in groups]
    ends = [end for group in intervals for interval in group for end in (interval.low, interval.high)]
    frame, content = new_frame([0, last + 0.3], ends), []
    for number, (kind, (fixed, _)) in enumerate(zip(("first", "second"), question.sweeps, strict=False)):
        content.append(text(frame.x(0.56 * last), frame.y(frame.y_low) - 30 + 18 * number, fixed, f"end {kind}"))
        for place, (values, interval) in enumerate(zip(groups[number], intervals[number], strict=True)):
            x = place + 0.16 * number
            content += [frame.dot(x, figure, kind, 2.5) for figure in values]
            content += [frame.bar(x + 0.06, interval.low, interval.high), frame.dot(x + 0.06, fmean(values), kind, 6)]
    return frame.chart(
        f"two-conv's accuracy by {name}",
        "10,000 official test images, one epoch; small dots: seeds, large dots and bars: mean and 95 % interval",
        content, x_ticks=[(place, f"{value:g}") for place, value in enumerate(question.values)],
        y_ticks=[(tick, f"{tick:.1f}") for tick in round_ticks(frame.y_low, frame.y_high)], x_name=name,
        heading="test accuracy, %",
    )  # fmt: skip


def measure(out: Path = Path("runs"), workers: int = 1, threads: int = 1) -> None:
    """Train all four sweeps, the quick ones first: hours on one core; the same command again goes on."""
    for name in ("two-conv-batch-size", RATES, TUNED, "two-conv-dropout"):
        study = sweep.create(tuned(load(RATES)[1]) if name == TUNED else sweep.load(name), out)
        print(study.folder, flush=True)
        try:
            sweep.join(study, workers=workers, threads=threads)
        finally:
            write_trials(study)


def collect(studies: list[str]) -> None:
    """Write the rows of studies as far as they are, by their folders."""
    for target in studies:
        write_trials(sweep.open_study(target))


COMMANDS = (measure, collect)
