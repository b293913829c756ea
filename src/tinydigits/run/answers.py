"""What a run answered to whole sets of images, as its files keep it, and two runs side by side on the same images."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinydigits.archive import require_honest
from tinydigits.errors import TinydigitsError
from tinydigits.run.folder import Run
from tinydigits.stats import Interval, mcnemar, paired_interval
from tinydigits.text import source_label

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Answers", "Mistakes", "Paired", "answers_of", "arrays_of", "comparable_answers", "pair"]


@dataclass(frozen=True)
class Mistakes:
    """Wrongly answered images, the surest first; `probability` is that of the wrong answer, 0 to 1."""

    images_NHW: np.ndarray
    labels_N: np.ndarray
    predicted_N: np.ndarray
    probability_N: np.ndarray


@dataclass(frozen=True)
class Answers:
    """What was answered to one set of images, read at `source`.

    `wrong` are the places of the wrong answers, None where no file keeps them. `reliability` has images, right answers
    and the sum of probabilities (3, bins).
    """

    source: str
    split: str
    sha256: str
    confusion_KK: np.ndarray
    mistakes: Mistakes
    wrong: frozenset[int] | None = None
    loss: float | None = None
    calibration_error: float | None = None
    reliability: np.ndarray | None = None

    @property
    def what(self) -> str:
        """The set's name."""
        return f"{source_label(self.source)} {self.split}"

    @property
    def seen(self) -> int:
        """The set's size."""
        return int(self.confusion_KK.sum())

    @property
    def correct(self) -> int:
        """Images answered rightly."""
        return int(self.confusion_KK.trace())

    @property
    def images(self) -> tuple[str, int, str]:
        """Split, number and SHA-256: two are of the same images where these are equal."""
        return self.split, self.seen, self.sha256


@dataclass(frozen=True)
class Paired:
    """Two runs on the same images: `won` only the first got right, `lost` only the second."""

    what: str
    seen: int
    both_right: int
    won: int
    lost: int
    both_wrong: int

    @property
    def difference(self) -> float:
        """The first's accuracy less the second's, as a share of 1."""
        return (self.won - self.lost) / self.seen

    @property
    def p_value(self) -> float:
        """Of McNemar's exact test."""
        return mcnemar(self.won, self.lost)

    @property
    def interval(self) -> Interval:
        """95 % interval of the difference."""
        return paired_interval(self.won, self.lost, self.seen)


def answers_of(run: Run) -> list[Answers]:
    """What a run's files keep of its answers: to the test images once it was verified, then to its own.

    Its own are the validation images, or the training images where none were held out. Raises TinydigitsError where
    the run has no record, or a file is damaged.
    """
    return [answers for answers in (_tested(run), _own(run)) if answers is not None]


def comparable_answers(run: Run) -> dict[tuple[str, int, str], Answers]:
    """Those of `answers_of` that say which images were answered wrongly, by their images."""
    return {answers.images: answers for answers in answers_of(run) if answers.wrong is not None}


def _tested(run: Run) -> Answers | None:
    from tinydigits.stats import reliability_bins

    verdict = run.verdict
    test = verdict.test_data if verdict is not None else None
    arrays = arrays_of(run, "predictions.npz") if test is not None else {}
    if verdict is None or test is None or not arrays or int(arrays["confusion"].sum()) != test.num_images:
        return None
    wrong, reliability = None, None
    if {"labels", "predicted", "probability"} <= arrays.keys() and len(arrays["labels"]) == test.num_images:
        is_right_N = arrays["labels"] == arrays["predicted"]
        wrong = frozenset((~is_right_N).nonzero()[0].tolist())
        reliability = reliability_bins(arrays["probability"], is_right_N)
    return Answers(
        test.source, "test", test.sha256, arrays["confusion"], _mistakes(arrays), wrong,
        calibration_error=verdict.calibration_error, reliability=reliability,
    )  # fmt: skip


def _own(run: Run) -> Answers | None:
    import numpy as np

    record, arrays = run.record, arrays_of(run, "samples.npz")
    result = record.result
    if result is None:
        return None
    wrong = frozenset(arrays["wrong_index"].tolist()) if "wrong_index" in arrays else None
    return Answers(
        record.source, result.split, record.data_sha256, np.array(result.confusion, dtype=np.int64), _mistakes(arrays),
        wrong, result.loss, result.calibration_error, arrays.get("reliability"),
    )  # fmt: skip


def _mistakes(arrays: Mapping[str, np.ndarray]) -> Mistakes:
    import numpy as np

    if "mistakes_images" not in arrays:
        return Mistakes(np.empty((0, 28, 28), np.uint8), *(np.empty(0, np.int64) for _ in range(3)))
    return Mistakes(*(arrays[f"mistakes_{part}"] for part in ("images", "labels", "predicted", "probability")))


def pair(first: Answers, second: Answers) -> Paired:
    """Count the images that one, both or neither answered rightly, of two of `comparable_answers`.

    Raises ValueError for answers to different images.
    """
    if first.images != second.images or first.wrong is None or second.wrong is None:
        raise ValueError(f"answers to different images: {first.images} and {second.images}")
    both, either = len(first.wrong & second.wrong), len(first.wrong | second.wrong)
    won, lost = len(second.wrong - first.wrong), len(first.wrong - second.wrong)
    return Paired(first.what, first.seen, first.seen - either, won, lost, both)


_MAX_ARRAYS_BYTES = 64_000_000  # 64 images of each sheet, and the answers to a test set


def arrays_of(run: Run, file: str) -> dict[str, np.ndarray]:
    """The arrays of one of its `.npz` files, none where it has no such file; raises TinydigitsError where damaged."""
    path = run.folder / file
    if not path.is_file():
        return {}
    import numpy as np

    require_honest(path, path, max_bytes=_MAX_ARRAYS_BYTES)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception as error:  # a damaged zip fails in many ways
        raise TinydigitsError(str(path), f"damaged: {type(error).__name__}: {error}") from error
