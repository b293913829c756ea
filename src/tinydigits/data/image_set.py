"""A set of labelled images in memory, its digest, and the fixed rules that divide one set into two.

Shape suffixes: N images, H rows, W columns.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from tinydigits.errors import TinydigitsError, printable

__all__ = ["ImageSet", "every_nth", "hold_out"]

_HOLD_OUT_SEED = 60_000  # any constant would do; changing it changes every published validation figure


@dataclass(frozen=True)
class ImageSet:
    """Images of 28×28 grey levels with their labels, checked once and then trusted.

    >>> import numpy as np
    >>> tiny = ImageSet("tiny", "test", np.zeros((2, 28, 28), np.uint8), np.array([0, 1], np.uint8), ("zero", "one"))
    >>> len(tiny), tiny.sha256[:8]
    (2, 'f6a3f202')

    `images_NHW` is uint8 (N, 28, 28), 0 is paper and 255 is ink; `labels_N` is uint8 (N,), an index into `classes`.
    `split` is "train", "validation" or "test". `sha256` is filled in when left out: SHA-256 over the bytes of
    `images_NHW` in row-major order, followed by those of `labels_N`. It is therefore the same for gzipped and plain
    files. Raises TinydigitsError when the parts do not fit together.
    """

    name: str
    split: str
    images_NHW: np.ndarray
    labels_N: np.ndarray
    classes: tuple[str, ...]
    sha256: str = ""

    def __post_init__(self) -> None:
        where = f"{self.name} {self.split}"
        if self.images_NHW.dtype != np.uint8 or self.images_NHW.shape[1:] != (28, 28):
            raise TinydigitsError(where, got=_kind(self.images_NHW), expected="images as uint8 (N, 28, 28)")
        if self.labels_N.dtype != np.uint8 or self.labels_N.ndim != 1:
            raise TinydigitsError(where, got=_kind(self.labels_N), expected="labels as uint8 (N,)")
        if len(self.images_NHW) != len(self.labels_N):
            raise TinydigitsError(where, got=f"{len(self.labels_N)} labels", expected=f"{len(self.images_NHW)}")
        if len(self.labels_N) and int(self.labels_N.max()) >= len(self.classes):
            raise TinydigitsError(
                where, got=f"label {self.labels_N.max()}", expected=f"0 to {len(self.classes) - 1}, one for each class"
            )
        strange = next((name for name in self.classes if printable(name) != name), None)
        if strange is not None:
            raise TinydigitsError(where, got=f"a class {strange!r}", expected="a name of printable characters")
        if not self.sha256:
            object.__setattr__(self, "sha256", _digest(self.images_NHW, self.labels_N))

    def __len__(self) -> int:
        return len(self.labels_N)


def hold_out(train: ImageSet, num_validation: int) -> tuple[ImageSet, ImageSet]:
    """Divide a training set into (train, validation), the same way on every machine and for every run's seed.

    >>> import numpy as np
    >>> labels_N = np.arange(6, dtype=np.uint8)
    >>> train = ImageSet("tiny", "train", np.zeros((6, 28, 28), np.uint8), labels_N, tuple("abcdef"))
    >>> kept, held = hold_out(train, 2)
    >>> held.split, sorted(kept.labels_N.tolist() + held.labels_N.tolist())
    ('validation', [0, 1, 2, 3, 4, 5])

    Images are ranked by a raw PCG64 stream, whose values NumPy guarantees for ever (unlike those of its shuffles); the
    lowest `num_validation` are held out. Both parts keep the file's order. Raises TinydigitsError when `train` is not
    a training split or when either part would be empty.
    """
    where = f"{train.name}: validation images"
    if train.split != "train":
        raise TinydigitsError(where, got=f"the {train.split} split", expected="the training split")
    if not 0 < num_validation < len(train):
        raise TinydigitsError(where, got=num_validation, expected=f"1 to {len(train) - 1} of {len(train)}")
    ranks_N = np.random.PCG64(_HOLD_OUT_SEED).random_raw(len(train))
    is_held_N = np.zeros(len(train), dtype=bool)
    is_held_N[np.argsort(ranks_N, kind="stable")[:num_validation]] = True
    return _part(train, "train", ~is_held_N), _part(train, "validation", is_held_N)


def every_nth(labels_N: np.ndarray, n: int) -> np.ndarray:
    """Mark every n-th image of each class, in the order given: a fixed, stratified choice without a random number.

    >>> import numpy as np
    >>> every_nth(np.array([0, 0, 1, 0, 1, 1]), 3).tolist()
    [False, False, False, True, False, True]

    Returns bool (N,); a class of m images has floor(m / n) marked.
    """
    is_nth_N = np.zeros(len(labels_N), dtype=bool)
    for label in np.unique(labels_N):
        is_nth_N[np.flatnonzero(labels_N == label)[n - 1 :: n]] = True
    return is_nth_N


def _part(whole: ImageSet, split: str, is_in_N: np.ndarray) -> ImageSet:
    return ImageSet(whole.name, split, whole.images_NHW[is_in_N], whole.labels_N[is_in_N], whole.classes)


def _digest(images_NHW: np.ndarray, labels_N: np.ndarray) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(images_NHW).data)
    digest.update(np.ascontiguousarray(labels_N).data)
    return digest.hexdigest()


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
