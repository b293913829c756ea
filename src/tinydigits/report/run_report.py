"""A run's own page, `report.md`, and the pictures on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tinydigits import figures
from tinydigits.errors import printable
from tinydigits.escape import markdown
from tinydigits.figures import count_of
from tinydigits.report import text
from tinydigits.report.breakdown import calibration_table, classes_table
from tinydigits.report.charts import augmented_sheet, confusion_chart, curves_chart, filters_sheet, mistakes_sheet
from tinydigits.report.command import train_command
from tinydigits.report.kept import Curves, read_curves
from tinydigits.report.svg import Chart
from tinydigits.report.verdict.markdown import findings
from tinydigits.run import Answers, Record, Run, answers_of, arrays_of, facts_of
from tinydigits.stats import wilson_interval
from tinydigits.text import source_label
from tinydigits.verdict import Verdict

__all__ = ["answer_charts", "filters_chart", "write_run_report"]

_STATUS = {
    "running": "The training has not ended yet.",
    "interrupted": "The training was stopped before its end.",
    "diverged": "The training ended because its loss was no longer a finite number.",
}


_CALIBRATION = (
    "A row is of images whose answers had about the same probability: of a calibrated model it is the share of right "
    "ones. Intervals are Wilson's."
)


def write_run_report(run: Run) -> Path:
    """Write `report.md` into the run, with the pictures it shows, and give its path.

    >>> write_run_report(Run(Path("runs/20260101_120000_two-conv_s0")))
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: run runs/20260101_120000_two-conv_s0: incomplete: it has no record.json
      try: tinydigits runs ls

    `curves.svg`, `augmented.svg`, `filters.svg`, `confusion.svg` and `mistakes.svg` come from what the training kept;
    the last two are of its validation images, or of the training images where none were held out. Once `tinydigits
    verify` has asked the test images, `confusion-test.svg` and `mistakes-test.svg` stand beside them. Of a run without
    an end, what there is so far is shown. Raises TinydigitsError where the run has no record, or a file of it is
    damaged.
    """
    record = run.record
    name = f"{record.recipe['name']} on {record.source_label}, seed {record.recipe['seed']}"
    sections = []
    curves = read_curves(run, record)
    if curves is not None:
        sections.append(_section(run, "Curves", "curves.svg", _curves(record, name, curves)))
    samples, verdict, sets = arrays_of(run, "samples.npz"), run.verdict, answers_of(run)
    for answers in sets:
        sections += _write_answers(run, record, answers, "-test" if answers.split == "test" else "")
    if "augmented_images" in samples:
        sections.append(_write_augmented(run, record, samples))
    if samples.get("filters", np.empty(0)).size:
        filters = filters_chart(record, samples["filters"])
        sections.append(_section(run, "The first layer's filters", "filters.svg", filters))
    page = [
        f"# {markdown(name)}",
        *_headline(record, sets, verdict),
        *_results(sets),
        *_verdict_table(verdict),
        *sections,
        "## Facts",
        text.table(["", ""], facts_of(record)),
        "## To train it again",
        f"```\n{printable(train_command(record, recipe_file=_recipe_file(run)))}\n```",
        "Everything that decides the run is in [recipe.toml](recipe.toml); all figures are in "
        "[record.json](record.json)" + (" and [history.csv](history.csv)." if sections else "."),
    ]
    run.write("report.md", "\n\n".join(page) + "\n")
    return run.folder / "report.md"


def _recipe_file(run: Run) -> str:
    return str(Path(run.folder.parent.name) / run.name / "recipe.toml")


# The pictures.


def _curves(record: Record, name: str, curves: Curves) -> Chart:
    batch_sizes = record.recipe["data"]["batch_size"]
    sizes = f"batches of {batch_sizes}" if isinstance(batch_sizes, int) else "batches of changing size"
    return curves_chart(
        name,
        f"{record.recipe['model']['name']}, {record.num_parameters:,} parameters, "
        f"{record.recipe['optimizer']['name']}, {sizes}, "
        f"{count_of(record.epochs, 'epoch')} of {record.num_train:,} images",
        curves,
    )


def answer_charts(record: Record, answers: Answers) -> tuple[Chart, Chart]:
    """The confusion matrix of what was answered on one set, and the sheet of its worst mistakes."""
    wrong, shown = answers.seen - answers.correct, min(40, len(answers.mistakes.labels_N))
    what = f"{record.recipe['name']}, seed {record.recipe['seed']}: {answers.what}"
    counts = f"{answers.correct:,} of {answers.seen:,} right ({figures.percent(answers.correct / answers.seen)})"
    which = f"the {shown} surest of {wrong:,} mistakes" if shown < wrong else _all_mistakes(wrong)
    return (
        confusion_chart(what, f"{counts}, {wrong:,} wrong", answers.confusion_KK, record.classes),
        mistakes_sheet(what, f"{which}: label → answer, and its probability", answers.mistakes, record.classes),
    )


def filters_chart(record: Record, filters: np.ndarray) -> Chart:
    """The sheet of the first layer's filters."""
    shape = "×".join(map(str, filters.shape[1:]))
    note = f"{count_of(len(filters), 'filter')} of {shape}; blue is below zero, orange above, one scale for all"
    return filters_sheet(f"{record.recipe['name']}: the first layer's filters", note, filters)


def _write_answers(run: Run, record: Record, answers: Answers, suffix: str) -> Iterator[str]:
    """Draw what was answered on one set, write the two pictures, give their sections."""
    confusion, mistakes = answer_charts(record, answers)
    yield _section(run, f"Confusion on {answers.what} images", f"confusion{suffix}.svg", confusion)
    yield f"### Class by class\n\n{text.table(*classes_table(answers.confusion_KK, record.classes))}"
    if answers.reliability is not None:
        yield f"### Calibration\n\n{text.table(*calibration_table(answers.reliability))}\n\n{_CALIBRATION}"
    if len(answers.mistakes.labels_N):
        yield _section(run, f"Worst mistakes on {answers.what} images", f"mistakes{suffix}.svg", mistakes)


def _all_mistakes(wrong: int) -> str:
    return {0: "no mistake", 1: "the one mistake"}.get(wrong, f"all {wrong:,} mistakes, the surest first")


def _write_augmented(run: Run, record: Record, samples: Mapping[str, np.ndarray]) -> str:
    steps = ", ".join(step["name"] for step in record.recipe.get("augment", [])) or "no augmentation"
    title = "Training images as the model sees them"
    sheet = augmented_sheet(
        f"{record.recipe['name']}: {title.lower()}", f"{record.source_label} train; {steps}",
        samples["augmented_images"], samples["augmented_labels"], record.classes,
    )  # fmt: skip
    return _section(run, title, "augmented.svg", sheet)


def _section(run: Run, title: str, file: str, chart: Chart) -> str:
    """Write a chart into the run, and give its section of the page."""
    run.write(file, chart.file())
    return f"## {markdown(title)}\n\n{text.picture(file, f'{chart.title}. {chart.note}')}"


# The words.


def _headline(record: Record, sets: Sequence[Answers], verdict: Verdict | None) -> Iterator[str]:
    if record.status != "finished":
        yield f"{_STATUS[record.status]} {count_of(record.epochs, 'epoch')} of {record.recipe['epochs']} are done."
    if sets:
        answers = sets[0]  # of the test images, where there are any
        share = figures.percent(answers.correct / answers.seen)
        yield (
            f"**{share}** of the {answers.seen:,} {markdown(answers.what)} images right, "
            f"{record.num_parameters:,} parameters, {count_of(record.epochs, 'epoch')}, "
            f"{figures.duration(record.seconds.training)} of training."
        )
        if answers.source != record.source:
            yield f"It was trained on {markdown(record.source_label)}."
    if verdict is not None:
        yield f"Contract {markdown(verdict.contract.name)}: **{verdict.word}**."
    elif sets:
        yield "The model has not been evaluated on the test images yet: `tinydigits verify` does that."


def _results(sets: Sequence[Answers]) -> Iterator[str]:
    rows = []
    for answers in sets:
        interval = wilson_interval(answers.correct, answers.seen)
        loss = "" if answers.loss is None else f"{answers.loss:.4f}"
        rows.append([
            source_label(answers.source), answers.split, f"{answers.correct:,} of {answers.seen:,}",
            figures.percent(answers.correct / answers.seen),
            figures.interval(interval), loss,
            "" if answers.calibration_error is None else f"{answers.calibration_error:.4f}",
        ])  # fmt: skip
    if rows:
        yield "## Results"
        heads = ["data set", "split", "right", "accuracy", "95 % interval", "loss", "calibration error"]
        yield text.table(heads, rows, "llrrrrr")
        yield "The interval is Wilson's: how far a set of this size lets the share be known. Seeds vary beside it."


def _verdict_table(verdict: Verdict | None) -> Iterator[str]:
    if verdict is None:
        return
    yield f"## Contract {markdown(verdict.contract.name)}: {verdict.word}"
    yield from (f"**{markdown(note)}**" for note in verdict.target.notes)
    yield from findings(verdict)
