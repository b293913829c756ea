"""Images that a Python session gives as arrays: a source for as long as the process lives, named by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinydigits.data.image_set import ImageSet
from tinydigits.errors import TinydigitsError

__all__ = ["PREFIX", "grey_levels", "held", "hold"]

PREFIX = "in-memory:"
_sets: dict[str, dict[str, ImageSet]] = {}


def hold(splits: dict[str, tuple[Any, Any] | None], classes: Sequence[str] | None = None) -> str:
    """Keep arrays as a data source; gives its name.

    >>> images, labels = np.zeros((4, 28, 28), np.uint8), [0, 1, 2, 1]
    >>> name = hold({"train": (images, labels)})
    >>> name, held(name, "train").classes, held(name, "test")
    ('in-memory:dd572bad75', ('0', '1', '2'), None)

    `splits` has (images, labels) of "train", and of "validation" and "test" where there are any: images (N, 28, 28) or
    (N, 1, 28, 28) as uint8 of 0 to 255, or floating point of 0 to 1, bright ink on 0; labels (N,) count from 0. NumPy
    arrays, tensors and lists are taken. `classes` are the classes' names, by default their numbers. Raises
    TinydigitsError for other shapes and values.
    """
    arrays = {split: _pair(split, pair) for split, pair in splits.items() if pair is not None}
    num_classes = 1 + max((int(labels_N.max(initial=0)) for _, labels_N in arrays.values()), default=0)
    names = tuple(map(str, range(num_classes) if classes is None else classes))
    if len(set(names)) < len(names):
        raise TinydigitsError("classes", got=", ".join(names), expected="a name of its own for each")
    if classes is None and all(labels_N.min() > 0 for _, labels_N in arrays.values()):
        raise TinydigitsError("labels", got="none of 0", expected="labels that count from 0, or the names in classes")
    sets = {split: ImageSet("in memory", split, *pair, names) for split, pair in arrays.items()}
    # Of all splits: the same training images with other test images are another source.
    parts = [*names, *(f"{split} {images.sha256}" for split, images in sets.items())]
    name = PREFIX + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:10]
    _sets[name] = {split: replace(images, name=name) for split, images in sets.items()}
    return name


def held(name: str, split: str) -> ImageSet | None:
    """A split of a source that `hold` named; None where it was given none.

    Raises TinydigitsError for a name of another process.
    """
    if name not in _sets:
        raise TinydigitsError(
            f"data {name}", "was given as arrays by a Python session, and is not kept on disk",
            hint="the same images in a folder of their own: --data FOLDER",
        )  # fmt: skip
    return _sets[name].get(split)


def grey_levels(values: np.ndarray, where: str) -> np.ndarray:
    """Floating point of 0 to 1 as uint8 of 0 to 255, any other array as it is.

    >>> grey_levels(np.array([0, 0.5, 1]), "images")
    array([  0, 128, 255], dtype=uint8)

    Raises TinydigitsError for floating point of other values.
    """
    if not np.issubdtype(values.dtype, np.floating):
        return values
    if not (values.size and np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        got = f"{values.min():g} to {values.max():g}" if values.size else "nothing"
        raise TinydigitsError(where, got=got, expected="floating point of 0 to 1, or uint8")
    return np.rint(values * 255).astype(np.uint8)


def _pair(split: str, pair: Any) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TinydigitsError(f"{split} images", got=type(pair).__name__, expected="a pair (images, labels)")
    return _images(split, pair[0]), _labels(split, pair[1])


def _array(values: Any, where: str) -> np.ndarray:
    """NumPy's view of an array, a tensor or lists."""
    try:
        if hasattr(values, "detach"):
            values = values.detach().cpu()
            values = values.float() if values.is_floating_point() else values
        return np.asarray(values)
    except Exception as error:  # whatever an object makes of being taken for an array
        raise TinydigitsError(where, f"cannot be read as an array: {error}") from error


def _images(split: str, values: Any) -> np.ndarray:
    images = _array(values, f"{split} images")
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    images = grey_levels(images, f"{split} images")
    if images.dtype != np.uint8 or images.shape[1:] != (28, 28):
        got = f"{images.dtype} {images.shape}"
        raise TinydigitsError(f"{split} images", got=got, expected="uint8 or floating point (N, 28, 28)")
    return np.ascontiguousarray(images)


def _labels(split: str, values: Any) -> np.ndarray:
    labels = _array(values, f"{split} labels")
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or not labels.size:
        got = f"{labels.dtype} {labels.shape}"
        raise TinydigitsError(f"{split} labels", got=got, expected="whole numbers (N,), one for each image")
    if labels.min() < 0 or labels.max() > 255:
        got = f"{labels.min()} to {labels.max()}"
        raise TinydigitsError(f"{split} labels", got=got, expected="0 to 255: labels count from 0")
    return labels.astype(np.uint8)
