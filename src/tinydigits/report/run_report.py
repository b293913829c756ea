"""A run's own page, `report.md`, and the pictures on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tinydigits.errors import TinydigitsError
from tinydigits.report import text
from tinydigits.report.command import train_command
from tinydigits.report.confusion import draw_confusion
from tinydigits.report.curves import Line, draw_curves
from tinydigits.report.sheets import Mistakes, draw_augmented, draw_mistakes
from tinydigits.report.style import png_bytes
from tinydigits.report.verdict.markdown import findings
from tinydigits.run import Record, Run, arrays_of, verdict_of
from tinydigits.stats import wilson_interval

__all__ = ["write_run_report"]

_STATUS = {
    "running": "The training has not ended yet.",
    "interrupted": "The training was stopped before its end.",
    "diverged": "The training ended because its loss was no longer a finite number.",
}


@dataclass(frozen=True)
class _Answers:
    """What was answered on one named set of images."""

    source: str
    split: str
    confusion_KK: np.ndarray
    mistakes: Mistakes
    loss: float | None = None
    calibration_error: float | None = None

    @property
    def seen(self) -> int:
        return int(self.confusion_KK.sum())

    @property
    def correct(self) -> int:
        return int(np.trace(self.confusion_KK))

    @property
    def what(self) -> str:
        return f"{self.source} {self.split}"


def write_run_report(run: Run) -> Path:
    """Write `report.md` into the run, with the pictures it shows, and give its path.

    >>> write_run_report(Run(Path("runs/20260101_120000_two-conv_s0")))
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: run runs/20260101_120000_two-conv_s0: incomplete: it has no record.json
      try: tinydigits runs ls

    `curves.png`, `augmented.png`, `confusion.png` and `mistakes.png` come from what the training kept; the last two are
    of its validation images, or of the training images where none were held out. Once `tinydigits verify` has asked the
    test images, `confusion-test.png` and `mistakes-test.png` stand beside them. Of a run without an end, what there is
    so far is shown. Raises TinydigitsError where the run has no record, or a file of it is damaged.
    """
    record = run.record
    if not {"name", "seed", "model", "epochs"} <= record.recipe.keys():
        raise TinydigitsError(str(run.folder / "record.json"), "damaged record: its recipe is not whole")
    name = f"{record.recipe['name']} on {record.source}, seed {record.recipe['seed']}"
    sections = []
    epochs, steps = _rows(run, "history.csv", _HISTORY), _rows(run, "steps.csv", _STEPS)
    if epochs or steps:
        run.write("curves.png", png_bytes(_curves(record, name, epochs, steps)))
        sections.append(_section("Curves", "curves.png", f"Loss, accuracy and learning rate of {name}"))
    samples = arrays_of(run, "samples.npz")
    own = _own_answers(record, samples)
    verdict = verdict_of(run)
    tested = _tested_answers(run, verdict)
    for answers, suffix in ((tested, "-test"), (own, "")):
        if answers is not None:
            sections += _write_answers(run, record, answers, suffix)
    if "augmented_images" in samples:
        sections.append(_write_augmented(run, record, samples))
    page = [
        f"# {name}",
        *_headline(record, own, tested, verdict),
        *_results(own, tested),
        *_verdict_table(verdict),
        *sections,
        "## Facts",
        text.table(["", ""], _facts(record)),
        "## To train it again",
        f"```\n{train_command(record, recipe_file=_recipe_file(run))}\n```",
        "Everything that decides the run is in [recipe.toml](recipe.toml); all figures are in "
        "[record.json](record.json)" + (" and [history.csv](history.csv)." if sections else "."),
    ]
    run.write("report.md", "\n\n".join(page) + "\n")
    return run.folder / "report.md"


# What the run holds.


_HISTORY = ("lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "images_seen")
_STEPS = ("lr", "loss", "accuracy", "images_seen")


def _rows(run: Run, file: str, columns: Sequence[str]) -> list[dict[str, float | None]]:
    if not (run.folder / file).is_file():
        return []
    try:
        return [{key: row[key] for key in columns} for row in run.table(file)]
    except (ValueError, TypeError, KeyError) as error:
        raise TinydigitsError(str(run.folder / file), f"damaged: {type(error).__name__}: {error}") from error


def _own_answers(record: Record, samples: Mapping[str, np.ndarray]) -> _Answers | None:
    if record.result is None:
        return None
    confusion_KK = np.array(record.result.confusion, dtype=np.int64)
    result = record.result
    return _Answers(
        record.source, result.split, confusion_KK, _mistakes(samples), result.loss, result.calibration_error
    )


def _mistakes(arrays: Mapping[str, np.ndarray]) -> Mistakes:
    parts = ("images", "labels", "predicted", "probability")
    if "mistakes_images" not in arrays:
        return Mistakes(np.empty((0, 28, 28), np.uint8), *(np.empty(0, np.int64) for _ in range(3)))
    return Mistakes(*(arrays[f"mistakes_{part}"] for part in parts))


def _tested_answers(run: Run, verdict: Mapping[str, Any] | None) -> _Answers | None:
    asked = [data for data in (verdict or {}).get("data", []) if data["split"] == "test"]
    arrays = arrays_of(run, "predictions.npz")
    if not asked or not arrays or int(arrays["confusion"].sum()) != asked[-1]["num_images"]:
        return None
    found = [finding["details"] for finding in (verdict or {})["findings"] if finding["check"] == "accuracy"]
    error = found[0].get("calibration_error") if found else None
    return _Answers(asked[-1]["source"], "test", arrays["confusion"], _mistakes(arrays), calibration_error=error)


def _recipe_file(run: Run) -> str:
    return str(Path(run.folder.parent.name) / run.name / "recipe.toml")


# The pictures.


_Table = Sequence[Mapping[str, float | None]]


def _curves(record: Record, name: str, epochs: _Table, steps: _Table) -> Figure:
    batch_sizes = record.recipe["data"]["batch_size"]
    train = steps or epochs
    prefix = "" if steps else "train_"
    end = record.recipe["epochs"] * record.num_train

    def line(label: str, rows: _Table, key: str, num_images: int = 1) -> Line:
        seen = [row["images_seen"] or 0 for row in rows if row[key] is not None]
        values = [value for row in rows if (value := row[key]) is not None]
        return Line(label, seen, values, num_images, noisy=rows is steps and key != "lr")

    sizes = f"batches of {batch_sizes}" if isinstance(batch_sizes, int) else "batches of changing size"
    return draw_curves(
        name,
        f"{record.recipe['model']['name']}, {record.num_parameters:,} parameters, "
        f"{record.recipe['optimizer']['name']}, {sizes}, "
        f"{_count(record.epochs, 'epoch')} of {record.num_train:,} images",
        loss=[line("train", train, f"{prefix}loss"), line("validation", epochs, "validation_loss")],
        accuracy=[
            line("train", train, f"{prefix}accuracy", end // len(train) if steps else record.num_train),
            line("validation", epochs, "validation_accuracy", max(1, record.num_validation)),
        ],
        lr=line("learning rate", train, "lr"),
        num_train=record.num_train,
        end=end,
    )


def _write_answers(run: Run, record: Record, answers: _Answers, suffix: str) -> Iterator[str]:
    """Draw what was answered on one set, write the two pictures, give their sections."""
    wrong = answers.seen - answers.correct
    what = f"{record.recipe['name']}, seed {record.recipe['seed']}: {answers.what}"
    counts = f"{answers.correct:,} of {answers.seen:,} right ({text.percent(answers.correct / answers.seen)})"
    confusion = draw_confusion(what, f"{counts}, {wrong:,} wrong", answers.confusion_KK, record.classes)
    run.write(f"confusion{suffix}.png", png_bytes(confusion))
    shown = min(40, len(answers.mistakes.labels_N))
    which = f"the {shown} surest of {wrong:,} mistakes" if shown < wrong else _all_mistakes(wrong)
    sheet = draw_mistakes(
        what, f"{counts}; {which}; label → answer, and the probability given to it", answers.mistakes, record.classes
    )
    run.write(f"mistakes{suffix}.png", png_bytes(sheet))
    yield _section(
        f"Confusion on {answers.what} images", f"confusion{suffix}.png", f"Confusion matrix on {answers.what} images"
    )
    yield _section(
        f"Worst mistakes on {answers.what} images", f"mistakes{suffix}.png", f"Worst mistakes on {answers.what} images"
    )


def _all_mistakes(wrong: int) -> str:
    return {0: "no mistake", 1: "the one mistake"}.get(wrong, f"all {wrong:,} mistakes, the surest first")


def _write_augmented(run: Run, record: Record, samples: Mapping[str, np.ndarray]) -> str:
    steps = ", ".join(step["name"] for step in record.recipe.get("augment", [])) or "no augmentation"
    sheet = draw_augmented(
        f"{record.recipe['name']}: training images as the model sees them", f"{record.source} train; {steps}",
        samples["augmented_images"], samples["augmented_labels"], record.classes,
    )  # fmt: skip
    run.write("augmented.png", png_bytes(sheet))
    return _section(
        "Training images as the model sees them", "augmented.png", f"Augmented {record.source} train images ({steps})"
    )


def _section(title: str, file: str, alt: str) -> str:
    return f"## {title}\n\n{text.picture(file, alt)}"


# The words.


def _headline(
    record: Record, own: _Answers | None, tested: _Answers | None, verdict: Mapping[str, Any] | None
) -> Iterator[str]:
    if record.status != "finished":
        yield f"{_STATUS[record.status]} {_count(record.epochs, 'epoch')} of {record.recipe['epochs']} are done."
    answers = tested or own
    if answers is not None:
        share = text.percent(answers.correct / answers.seen)
        yield (
            f"**{share}** of the {answers.seen:,} {answers.what} images right, {record.num_parameters:,} parameters, "
            f"{_count(record.epochs, 'epoch')}, {text.duration(record.seconds.training)} of training."
        )
    if verdict is not None:
        yield f"Contract {verdict['contract']['name']}: **{verdict['verdict']}**."
    elif own is not None:
        yield "The test images have not been asked yet: `tinydigits verify` does that."


def _results(own: _Answers | None, tested: _Answers | None) -> Iterator[str]:
    rows = []
    for answers in (tested, own):
        if answers is None:
            continue
        interval = wilson_interval(answers.correct, answers.seen)
        loss = "" if answers.loss is None else f"{answers.loss:.4f}"
        rows.append([
            answers.source, answers.split, f"{answers.correct:,} of {answers.seen:,}",
            text.percent(answers.correct / answers.seen),
            f"{text.percent(interval.low)} to {text.percent(interval.high)}", loss,
            "" if answers.calibration_error is None else f"{answers.calibration_error:.4f}",
        ])  # fmt: skip
    if rows:
        yield "## Results"
        heads = ["data set", "split", "right", "accuracy", "95 % interval", "loss", "calibration error"]
        yield text.table(heads, rows, "llrrrrr")
        yield "The interval is Wilson's: how far a set of this size lets the share be known. Seeds vary beside it."


def _verdict_table(verdict: Mapping[str, Any] | None) -> Iterator[str]:
    if verdict is None:
        return
    yield f"## Contract {verdict['contract']['name']}: {verdict['verdict']}"
    yield from findings(verdict)


def _facts(record: Record) -> Iterator[tuple[str, object]]:
    recipe, seconds, machine = record.recipe, record.seconds, record.machine
    options = ", ".join(f"{key} = {value}" for key, value in recipe["model"].get("options", {}).items())
    yield "model", recipe["model"]["name"] + (f" ({options})" if options else "")
    yield "parameters", f"{record.num_parameters:,}, and {record.num_buffers:,} numbers in buffers"
    held_out = f", {record.num_validation:,} held out for validation" if record.num_validation else ""
    yield "trained on", f"{record.num_train:,} images of {record.source} train{held_out}"
    yield "epochs", f"{record.epochs:,}"
    yield "steps", f"{record.steps:,}"
    statistics = f", and {record.images_for_statistics:,} for BatchNorm's" if record.images_for_statistics else ""
    yield "images seen", f"{record.images_seen:,}{statistics}"
    shift = recipe.get("evaluation", {}).get("shift_pixels", 0)
    if shift:
        yield "test-time augmentation", f"shifts of up to {_count(shift, 'pixel')}"
    yield "start-up", text.duration(seconds.start_up)
    speed = f" ({record.images_seen / seconds.training:,.0f} images/s)" if seconds.training > 0 else ""
    yield "training", text.duration(seconds.training) + speed
    yield "evaluation", text.duration(seconds.evaluation)
    yield "peak memory", text.megabytes(record.peak_memory_bytes)
    if record.resumed:
        yield "resumed", _count(record.resumed, "time")
    yield "device", record.device + (f", {_count(record.threads, 'thread')}" if record.device == "cpu" else "")
    yield (
        "machine",
        f"{machine.get('processor', '?')}, {_count(machine.get('num_cores', 1), 'core')}, "
        f"{machine.get('memory_bytes', 0) / 1e9:.0f} GB, {machine.get('system', '?')}",
    )
    yield "versions", ", ".join(f"{package} {version}" for package, version in record.versions.items())
    yield "git commit", record.git_commit or "none"
    yield "training images", f"SHA-256 {record.data_sha256[:16]}…"
    yield "started", record.started_at


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
