"""Which images a run answered wrongly, as its files keep it, and two runs side by side on the same images."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinydigits.archive import require_honest
from tinydigits.errors import TinydigitsError
from tinydigits.run.folder import Run
from tinydigits.stats import Interval, mcnemar, paired_interval
from tinydigits.text import source_label

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Answers", "Paired", "answers_of", "arrays_of", "pair"]


@dataclass(frozen=True)
class Answers:
    """One set of images, `seen` of them, and the places of those that were answered wrongly.

    Two are of the same images where `images` is equal: split, number and SHA-256. `source` is where they were read.
    """

    source: str
    images: tuple[str, int, str]
    wrong: frozenset[int]

    @property
    def what(self) -> str:
        """The set's name."""
        return f"{source_label(self.source)} {self.images[0]}"

    @property
    def seen(self) -> int:
        """The set's size."""
        return self.images[1]

    @property
    def correct(self) -> int:
        """Images answered rightly."""
        return self.seen - len(self.wrong)


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
    """What a run's files say of single images: on the test images once it was verified, and on its own.

    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder: answers_of(Run(Path(folder)))
    []

    Its own are the validation images, or the training images where none were held out. Raises TinydigitsError where a
    file is damaged.
    """
    sets = []
    verdict = run.verdict
    test = verdict.test_data if verdict is not None else None
    tested = arrays_of(run, "predictions.npz") if test else {}
    if test and "labels" in tested and len(tested["labels"]) == test.num_images:
        wrong = (tested["labels"] != tested["predicted"]).nonzero()[0].tolist()
        images = ("test", test.num_images, test.sha256)
        sets.append(Answers(test.source, images, frozenset(wrong)))
    samples = arrays_of(run, "samples.npz")
    record = run.record if "wrong_index" in samples else None
    if record is not None and record.result is not None:
        images = (record.result.split, record.result.seen, record.data_sha256)
        sets.append(Answers(record.source, images, frozenset(samples["wrong_index"].tolist())))
    return sets


def pair(first: Answers, second: Answers) -> Paired:
    """Count the images that one, both or neither answered rightly.

    >>> images = ("test", 10, "ab")
    >>> pair(Answers("mnist", images, frozenset({1, 2})), Answers("mnist", images, frozenset({2, 3, 4})))
    Paired(what='mnist test', seen=10, both_right=6, won=2, lost=1, both_wrong=1)

    Raises ValueError for answers to different images.
    """
    if first.images != second.images:
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
