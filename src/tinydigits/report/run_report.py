"""A run's own page, `report.md`, and the pictures on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tinydigits import figures
from tinydigits.errors import printable
from tinydigits.escape import template
from tinydigits.figures import count_of
from tinydigits.report import text
from tinydigits.report.breakdown import Table, calibration_table, classes_table
from tinydigits.report.charts import augmented_sheet, confusion_chart, curves_chart, filters_sheet, mistakes_sheet
from tinydigits.report.command import train_command
from tinydigits.report.kept import Curves, read_curves
from tinydigits.report.svg import Chart
from tinydigits.report.verdict.markdown import findings
from tinydigits.run import Answers, Record, Run, answers_of, arrays_of, facts_of
from tinydigits.stats import wilson_interval
from tinydigits.text import source_label

__all__ = ["answer_charts", "filters_chart", "write_run_report"]

_STATUS = {
    "running": "The training has not ended yet.",
    "interrupted": "The training was stopped before its end.",
    "diverged": "The training ended because its loss was no longer a finite number.",
}


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
    verdict, sets = run.verdict, answers_of(run)
    pictures = _pictures(run, record, name, sets)
    for file, chart in pictures.items():
        run.write(file, chart.file())
    page = template(Path(__file__).with_name("report.md.j2")).render(
        name=name, record=record, verdict=verdict, sets=sets, pictures=pictures, results=_results(sets), status=_STATUS,
        facts=facts_of(record), command=printable(train_command(record, recipe_file=_recipe_file(run))),
        classes_table=classes_table, calibration_table=calibration_table, findings=findings, table=text.table,
        picture=text.picture, count_of=count_of, percent=figures.percent, duration=figures.duration,
    )  # fmt: skip
    run.write("report.md", page)
    return run.folder / "report.md"


def _recipe_file(run: Run) -> str:
    return str(Path(run.folder.parent.name) / run.name / "recipe.toml")


def _pictures(run: Run, record: Record, name: str, sets: Sequence[Answers]) -> dict[str, Chart]:
    """What is drawn of a run, by the name of its file."""
    pictures = {}
    if (curves := read_curves(run, record)) is not None:
        pictures["curves.svg"] = _curves(record, name, curves)
    for answers in sets:
        suffix = "-test" if answers.split == "test" else ""
        pictures[f"confusion{suffix}.svg"], mistakes = answer_charts(record, answers)
        if len(answers.mistakes.labels_N):
            pictures[f"mistakes{suffix}.svg"] = mistakes
    samples = arrays_of(run, "samples.npz")
    if "augmented_images" in samples:
        pictures["augmented.svg"] = _augmented(record, samples)
    if samples.get("filters", np.empty(0)).size:
        pictures["filters.svg"] = filters_chart(record, samples["filters"])
    return pictures


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


def _all_mistakes(wrong: int) -> str:
    return {0: "no mistake", 1: "the one mistake"}.get(wrong, f"all {wrong:,} mistakes, the surest first")


def _augmented(record: Record, samples: Mapping[str, np.ndarray]) -> Chart:
    steps = ", ".join(step["name"] for step in record.recipe.get("augment", [])) or "no augmentation"
    return augmented_sheet(
        f"{record.recipe['name']}: training images as the model sees them", f"{record.source_label} train; {steps}",
        samples["augmented_images"], samples["augmented_labels"], record.classes,
    )  # fmt: skip


def _results(sets: Sequence[Answers]) -> Table:
    rows = []
    for answers in sets:
        rows.append([
            source_label(answers.source), answers.split, f"{answers.correct:,} of {answers.seen:,}",
            figures.percent(answers.correct / answers.seen),
            figures.interval(wilson_interval(answers.correct, answers.seen)),
            "" if answers.loss is None else f"{answers.loss:.4f}",
            "" if answers.calibration_error is None else f"{answers.calibration_error:.4f}",
        ])  # fmt: skip
    return ["data set", "split", "right", "accuracy", "95 % interval", "loss", "calibration error"], rows, "llrrrrr"
