"""What a run's files hold for its pages: curves, answers, facts; read and checked once, for Markdown and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinydigits.errors import TinydigitsError
from tinydigits.run import Record, Run, arrays_of
from tinydigits.stats import reliability_bins
from tinydigits.text import source_label
from tinydigits.verdict import Verdict

__all__ = [
    "Curves",
    "Line",
    "Mistakes",
    "SetAnswers",
    "own_answers",
    "read_curves",
    "tested_answers",
]


@dataclass(frozen=True)
class Mistakes:
    """Wrongly answered images, the surest first; `probability` is that of the wrong answer, 0 to 1."""

    images_NHW: np.ndarray
    labels_N: np.ndarray
    predicted_N: np.ndarray
    probability_N: np.ndarray


@dataclass(frozen=True)
class SetAnswers:
    """What was answered on one named set of images."""

    source: str
    split: str
    confusion_KK: np.ndarray
    mistakes: Mistakes
    loss: float | None = None
    calibration_error: float | None = None
    reliability: np.ndarray | None = None

    @property
    def seen(self) -> int:
        return int(self.confusion_KK.sum())

    @property
    def correct(self) -> int:
        return int(np.trace(self.confusion_KK))

    @property
    def what(self) -> str:
        return f"{source_label(self.source)} {self.split}"


_HISTORY = ("lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "images_seen")
_STEPS = ("lr", "loss", "accuracy", "images_seen")


def _rows(run: Run, file: str, columns: Sequence[str]) -> list[dict[str, float | None]]:
    if not (run.folder / file).is_file():
        return []
    try:
        return [{key: row[key] for key in columns} for row in run.table(file)]
    except (ValueError, TypeError, KeyError) as error:
        raise TinydigitsError(str(run.folder / file), f"damaged: {type(error).__name__}: {error}") from error


def own_answers(record: Record, samples: Mapping[str, np.ndarray]) -> SetAnswers | None:
    """What the training answered at its end: validation images, or training images where none were held out."""
    if record.result is None:
        return None
    confusion_KK = np.array(record.result.confusion, dtype=np.int64)
    result = record.result
    return SetAnswers(
        record.source,
        result.split,
        confusion_KK,
        _mistakes(samples),
        result.loss,
        result.calibration_error,
        samples.get("reliability"),
    )


def _mistakes(arrays: Mapping[str, np.ndarray]) -> Mistakes:
    parts = ("images", "labels", "predicted", "probability")
    if "mistakes_images" not in arrays:
        return Mistakes(np.empty((0, 28, 28), np.uint8), *(np.empty(0, np.int64) for _ in range(3)))
    return Mistakes(*(arrays[f"mistakes_{part}"] for part in parts))


def tested_answers(run: Run, verdict: Verdict | None) -> SetAnswers | None:
    """What the model answered to the test images when these weights were verified."""
    test = verdict.test_data if verdict is not None else None
    arrays = arrays_of(run, "predictions.npz")
    if verdict is None or test is None or not arrays or int(arrays["confusion"].sum()) != test.num_images:
        return None
    return SetAnswers(
        test.source,
        "test",
        arrays["confusion"],
        _mistakes(arrays),
        calibration_error=verdict.calibration_error,
        reliability=_reliability(arrays),
    )


def _reliability(arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    if not {"labels", "predicted", "probability"} <= arrays.keys():
        return None
    return reliability_bins(arrays["probability"], arrays["labels"] == arrays["predicted"])


@dataclass(frozen=True)
class Line:
    """One curve: values against images seen.

    `num_images` is how many images one value of an accuracy stands for. A noisy line is drawn faint, under its mean
    over a twentieth of it to either side, which is what is named at its end.
    """

    name: str
    images_seen: Sequence[float]
    values: Sequence[float]
    num_images: int = 1
    noisy: bool = False

    @property
    def trend(self) -> list[float]:
        """The values, or their running mean where they are noisy."""
        if not self.noisy:
            return list(self.values)
        # Even to both sides at the start, where the values fall fast.
        reaches = [min(index, len(self.values) // 20) for index in range(len(self.values))]
        windows = (self.values[index - reach : index + reach + 1] for index, reach in enumerate(reaches))
        return [sum(window) / len(window) for window in windows]


@dataclass(frozen=True)
class Curves:
    """A training's lines against images seen: train first, then validation; `end` images are seen in the whole."""

    loss: tuple[Line, Line]
    accuracy: tuple[Line, Line]
    lr: Line
    num_train: int
    end: int


_Table = Sequence[Mapping[str, float | None]]


def read_curves(run: Run, record: Record) -> Curves | None:
    """The curves of `steps.csv` and `history.csv`, None before the first epoch; raises TinydigitsError for damage."""
    epochs, steps = _rows(run, "history.csv", _HISTORY), _rows(run, "steps.csv", _STEPS)
    if not epochs and not steps:
        return None
    train = steps or epochs
    prefix = "" if steps else "train_"
    end = record.recipe["epochs"] * record.num_train

    def line(label: str, rows: _Table, key: str, num_images: int = 1) -> Line:
        seen = [row["images_seen"] or 0 for row in rows if row[key] is not None]
        values = [value for row in rows if (value := row[key]) is not None]
        return Line(label, seen, values, num_images, noisy=rows is steps and key != "lr")

    return Curves(
        loss=(line("train", train, f"{prefix}loss"), line("validation", epochs, "validation_loss")),
        accuracy=(
            line("train", train, f"{prefix}accuracy", end // len(train) if steps else record.num_train),
            line("validation", epochs, "validation_accuracy", max(1, record.num_validation)),
        ),
        lr=line("learning rate", train, "lr"),
        num_train=record.num_train,
        end=end,
    )
