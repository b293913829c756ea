"""A training's curves as its files hold them: read and checked once, for Markdown and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinydigits.errors import TinydigitsError
from tinydigits.run import Record, Run

__all__ = ["Curves", "Line", "read_curves"]


_HISTORY = ("lr", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "images_seen")
_STEPS = ("lr", "loss", "accuracy", "images_seen")


def _rows(run: Run, file: str, columns: Sequence[str]) -> list[dict[str, float | None]]:
    if not (run.folder / file).is_file():
        return []
    try:
        return [{key: row[key] for key in columns} for row in run.table(file)]
    except (ValueError, TypeError, KeyError) as error:
        raise TinydigitsError(str(run.folder / file), f"damaged: {type(error).__name__}: {error}") from error


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
