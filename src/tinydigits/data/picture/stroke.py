"""The pen's width: brought near MNIST's when it is far from it.

A digit is fitted into 80 × 80 by the geometry's own resampling. With A its pixels of 128 and more and P the edges
between those and the others, the width of its strokes is 2 A / (P π / 4): a stroke of length L and width w has A = L w
and two sides of length L, and the edges of a line in any direction are on average 4 / π times its length. In MNIST's
training images, a quarter of that size, the width is 2.5 pixels in the middle, 1.6 to 3.9 for nine tenths of them.
Where it is outside 2 to 3.2 the fitted digit is grown or thinned by the grey maximum or minimum over a disc.
"""

from __future__ import annotations

import math

import numpy as np

from tinydigits.data.geometry import fit_box

__all__ = ["normalise_stroke", "stroke_width"]

_SIDE, _BOX = 80, 20
_THINNEST, _THICKEST = 2.0, 3.2  # pixels of the 20 × 20 box
_INK = 128


def normalise_stroke(gray_HW: np.ndarray) -> np.ndarray:
    """A digit uint8 (H, W), bright on 0, with strokes near MNIST's width; as it was where they are already.

    >>> hairline_HW = np.zeros((80, 80), np.uint8)
    >>> hairline_HW[:, 40] = 255
    >>> (normalise_stroke(hairline_HW) >= 128).any(axis=0).sum()
    np.int64(7)
    """
    fitted_HW = fit_box(gray_HW, _SIDE)
    width = stroke_width(fitted_HW) * _BOX / _SIDE
    if not width or _THINNEST <= width <= _THICKEST:
        return gray_HW
    wanted = min(max(width, _THINNEST), _THICKEST)
    radius = abs(wanted - width) * _SIDE / _BOX / 2
    padded_HW = np.pad(fitted_HW, math.ceil(radius))
    if width < wanted:
        return _extreme(padded_HW, radius, np.maximum)
    thinned_HW = _extreme(padded_HW, radius, np.minimum)
    return thinned_HW if (thinned_HW >= _INK).any() else gray_HW


def stroke_width(gray_HW: np.ndarray) -> float:
    """The width of strokes in pixels, 0 where there is no ink.

    >>> bar_HW = np.zeros((90, 90), np.uint8)
    >>> bar_HW[5:85, 40:46] = 255
    >>> round(stroke_width(bar_HW), 1)
    7.1
    """
    is_ink_HW = np.pad(gray_HW >= _INK, 1)
    area = int(is_ink_HW.sum())
    edges = int((is_ink_HW[1:] != is_ink_HW[:-1]).sum()) + int((is_ink_HW[:, 1:] != is_ink_HW[:, :-1]).sum())
    return 2 * area / (edges * math.pi / 4) if edges else 0.0


def _extreme(padded_HW: np.ndarray, radius: float, choose: np.ufunc) -> np.ndarray:
    """The maximum or minimum over a disc around each pixel; beyond the edge is 0."""
    reach = math.floor(radius)
    height, width = padded_HW.shape
    wide_HW = np.pad(padded_HW, reach)
    result_HW = padded_HW
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx <= radius * radius:
                shifted_HW = wide_HW[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
                result_HW = choose(result_HW, shifted_HW)
    return result_HW
