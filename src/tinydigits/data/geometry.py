"""MNIST's geometry: how a drawing of any size becomes 28×28 grey levels. The one implementation of this rule.

The arithmetic is spelled out here so that a port (the drawing page's JavaScript) gives the same grey levels, at most
one apart. All of it is on whole numbers or IEEE doubles, in this order; pixel k of a row covers the span [k, k + 1].

1. Crop to the box of all pixels above 0: `height` × `width`. No such pixel: the answer is all zeros.
2. The longer side becomes 20 pixels, the other max(1, floor(20 · short / long + 0.5)).
3. Resample the rows, then the columns. With s = old / new, output pixel i looks at the input from the centre
   c = (i + 0.5) · s with support r = max(s, 1): input pixel k, for k from max(0, floor(c − r + 0.5)) up to but without
   min(old, floor(c + r + 0.5)), weighs max(0, 1 − |k + 0.5 − c| / r); the weights are divided by their sum. This is
   bilinear interpolation when enlarging and an anti-aliased triangle when shrinking, as Pillow's `BILINEAR` has it,
   but kept in doubles and rounded once: floor(value + 0.500001), so that a tie goes up whichever way a sum is ordered.
4. The centre of mass, in whole numbers from the cropped box before resampling: m = Σ (2k + 1) · mass_k / (2 · Σ mass_k)
   along each side, in spans. Scaled by new / old it is put as near to 14.5 as whole pixels allow: the box starts at
   floor(14.5 − m · new / old + 0.5), kept within 0 … 28 − new so that no ink is lost.

14.5 in spans is pixel 14: in 99.998 % of MNIST's training images the centre of mass, in pixel numbers, lies within
half a pixel of 14 in each direction. Of the 60,000, 59,984 pass through here unchanged; 13 of the others have a longer
side of 19 pixels. The rule itself is from LeCun, Cortes and Burges' description of the database.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from tinydigits.errors import TinydigitsError

__all__ = ["fit_box", "to_mnist_geometry"]

_FIELD, _BOX, _CENTRE = 28, 20, 14.5
_ROUND_UP = 0.500001


def to_mnist_geometry(gray_HW: np.ndarray) -> np.ndarray:
    """Fit a drawing into 20×20, keep its aspect, and centre it by mass in 28×28: uint8 (28, 28).

    >>> import numpy as np
    >>> drawing_HW = np.zeros((100, 60), np.uint8)
    >>> drawing_HW[10:90, 20:30] = 255
    >>> ink = to_mnist_geometry(drawing_HW) > 0
    >>> ink.any(axis=1).sum(), ink.any(axis=0).sum()
    (np.int64(20), np.int64(3))

    `gray_HW` is uint8 (H, W) of any size, with bright ink (above 0) on a paper of 0. To find the ink in a photograph,
    or its polarity, is the caller's work. Raises TinydigitsError for another shape or dtype.
    """
    if gray_HW.dtype != np.uint8 or gray_HW.ndim != 2:
        raise TinydigitsError("image", got=f"{gray_HW.dtype} {gray_HW.shape}", expected="grey levels as uint8 (H, W)")
    field = np.zeros((_FIELD, _FIELD), dtype=np.uint8)
    box_HW = _crop(gray_HW)
    if not box_HW.size:
        return field
    fitted_HW = fit_box(gray_HW, _BOX)
    new_height, new_width = fitted_HW.shape
    top = _start(box_HW.sum(axis=1, dtype=np.int64), new_height)
    left = _start(box_HW.sum(axis=0, dtype=np.int64), new_width)
    field[top : top + new_height, left : left + new_width] = fitted_HW
    return field


def fit_box(gray_HW: np.ndarray, side: int) -> np.ndarray:
    """Steps 1 to 3 with any longer side: the ink's box, resampled; uint8, empty where there is no ink.

    >>> import numpy as np
    >>> drawing_HW = np.zeros((100, 60), np.uint8)
    >>> drawing_HW[10:90, 20:30] = 255
    >>> fit_box(drawing_HW, 40).shape
    (40, 5)
    """
    box_HW = _crop(gray_HW)
    if not box_HW.size:
        return box_HW
    new_height, new_width = (max(1, math.floor(side * old / max(box_HW.shape) + 0.5)) for old in box_HW.shape)
    fitted_HW = _resample_rows(_resample_rows(box_HW, new_height).T, new_width).T
    return np.floor(fitted_HW + _ROUND_UP).astype(np.uint8)


def _crop(gray_HW: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(gray_HW.any(axis=1)), np.flatnonzero(gray_HW.any(axis=0))
    if not len(rows):
        return gray_HW[:0, :0]
    return gray_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _resample_rows(image_HW: np.ndarray, num_rows: int) -> np.ndarray:
    """Step 3 for the rows: float64 (num_rows, W). It holds only the rows that one output row needs as doubles."""
    return np.stack([weights @ image_HW[first:last] for first, last, weights in _taps(len(image_HW), num_rows)])


@lru_cache(maxsize=64)
def _taps(num_old: int, num_new: int) -> tuple[tuple[int, int, np.ndarray], ...]:
    """For each output pixel: the first input pixel, the one after the last, and the weights between."""
    scale = num_old / num_new
    support = max(scale, 1.0)
    taps = []
    for i in range(num_new):
        centre = (i + 0.5) * scale
        first = max(0, math.floor(centre - support + 0.5))
        last = min(num_old, math.floor(centre + support + 0.5))
        weights = np.maximum(0.0, 1.0 - np.abs(np.arange(first, last) + 0.5 - centre) / support)
        taps.append((first, last, weights / weights.sum()))
    return tuple(taps)


def _start(mass_K: np.ndarray, num_new: int) -> int:
    """Step 4 along one side: where the fitted box starts in the field."""
    num_old = len(mass_K)
    moment = int(((2 * np.arange(num_old) + 1) * mass_K).sum())
    centre = moment / (2 * int(mass_K.sum())) * num_new / num_old
    return min(max(math.floor(_CENTRE - centre + 0.5), 0), _FIELD - num_new)
