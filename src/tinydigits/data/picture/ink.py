"""Ink: what in a picture is written, as grey levels, whatever the light, the colour, the paper and the polarity.

1. What is transparent is filled. Where most of the picture is visible, with the mean colour of that; else the visible
   part is the ink, and the ground becomes white under dark ink and black under bright ink.
2. The picture is shrunk by the smallest whole factor that leaves no side above 512, or of a strip at most a quarter
   of 512 × 512 pixels (1024 where many digits are sought): each pixel is the mean of a block, (sum + floor(n / 2)) div
   n; blocks at the right and lower edge may be smaller. What is still above 128 is blurred by 1 2 1 in both directions,
   (sum + 8) div 16, edges repeated.
3. Of red, green, blue and luminance, (299 R + 587 G + 114 B + 500) div 1000, the one that differs most from the median
   around each tile is kept (by the sum of the cubes of the differences); where that sum is positive the ink is brighter
   than the paper, and all is inverted.
4. The paper is the local 75th percentile, and ink = (255 · (paper − level) + floor(paper / 2)) div paper, at least 0:
   a share of the light that the paper gives, so a shadow changes little.
5. The threshold lies half way between the mean ink above it and the mean below it (Ridler and Calvard 1978), sought
   from above. Median ink above the threshold becomes 255, median ink below it 0. Where both are less than 20 apart,
   nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tinydigits.data.picture.light import local_contrast, local_percentile

__all__ = ["Ink", "find_ink"]

_MAX_SIDE, _MAX_SIDE_OF_MANY, _BLUR_SIDE = 512, 1024, 128
_BAND_PIXELS = 1_000_000
_MEDIAN, _PAPER = 50, 75  # percentiles
_MIN_CONTRAST = 20


@dataclass(frozen=True)
class Ink:
    """Ink of a picture shrunk by `scale`: grey levels uint8 (H, W), and where it is above the threshold."""

    gray_HW: np.ndarray
    is_ink_HW: np.ndarray
    scale: int


def find_ink(picture_HW4: np.ndarray, *, many: bool = False) -> Ink:
    """Find what is written in a picture uint8 (H, W, 4): one digit, or many, which are smaller.

    >>> picture_HW4 = np.full((40, 40, 4), 255, np.uint8)
    >>> picture_HW4[10:30, 18:22, :3] = 0
    >>> find_ink(picture_HW4).is_ink_HW.sum()
    np.int64(80)
    """
    height, width = picture_HW4.shape[:2]
    scale = _factor(height, width, _MAX_SIDE_OF_MANY if many else _MAX_SIDE)
    small_HWC = _smooth(_small(picture_HW4, scale))
    level_HW = _clearest(small_HWC)
    paper_HW = np.maximum(local_percentile(level_HW, _PAPER), 1)
    ink_HW = np.maximum((255 * (paper_HW - level_HW) + paper_HW // 2) // paper_HW, 0)
    counts = np.bincount(ink_HW.ravel(), minlength=256)
    threshold = _threshold(counts)
    is_ink_HW = ink_HW > threshold
    if not is_ink_HW.any():
        return Ink(np.zeros(ink_HW.shape, np.uint8), is_ink_HW, scale)
    low = _percentile(counts[: threshold + 1], _MEDIAN)
    high = threshold + 1 + _percentile(counts[threshold + 1 :], _MEDIAN)
    if high - low < _MIN_CONTRAST:
        return Ink(np.zeros(ink_HW.shape, np.uint8), np.zeros_like(is_ink_HW), scale)
    gray_HW = np.clip((255 * (ink_HW - low) + (high - low) // 2) // (high - low), 0, 255)
    return Ink(gray_HW.astype(np.uint8), is_ink_HW, scale)


def _factor(height: int, width: int, max_side: int) -> int:
    """Step 2, the factor: a strip of digits may be long, for it has few pixels all the same."""
    of_side, of_strip = max(height, width) / max_side, 2 * math.sqrt(height * width) / max_side
    return max(1, math.ceil(min(of_side, of_strip)))


def _small(picture_HW4: np.ndarray, scale: int) -> np.ndarray:
    """Steps 1 and 2 but for the blur, a band of rows at a time: a photograph in wider numbers is much memory."""
    rows = scale * max(1, _BAND_PIXELS // (scale * picture_HW4.shape[1]))
    bands = [picture_HW4[top : top + rows] for top in range(0, len(picture_HW4), rows)]
    fill = _filler(bands)
    return np.concatenate([_shrink(fill(band_HW4), scale) for band_HW4 in bands])


def _filler(bands: Sequence[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Step 1, for each band: whole numbers (H, W, C), one channel where the whole picture is grey, else three."""
    is_gray = all((band_HW4[:, :, :1] == band_HW4[:, :, :3]).all() for band_HW4 in bands)
    num_channels = 1 if is_gray else 3
    visible = sum(int(band_HW4[:, :, 3].sum(dtype=np.int64)) for band_HW4 in bands)
    most = 255 * sum(band_HW4[:, :, 3].size for band_HW4 in bands)
    if visible == most:
        return lambda band_HW4: band_HW4[:, :, :num_channels]
    if not visible:
        return lambda band_HW4: np.full_like(band_HW4[:, :, :num_channels], 255)

    def weigh(band_HW4: np.ndarray) -> np.ndarray:
        # 255 · 255 + 127 fits into 16 bits.
        return band_HW4[:, :, :num_channels] * band_HW4[:, :, 3:].astype(np.uint16)

    mean_C = sum(weigh(band_HW4).sum(axis=(0, 1), dtype=np.int64) for band_HW4 in bands) // visible
    if 2 * visible < most:
        mean_C = np.full_like(mean_C, 0 if _luminance(mean_C) >= 128 else 255)
    return lambda band_HW4: (weigh(band_HW4) + mean_C.astype(np.uint16) * (255 - band_HW4[:, :, 3:]) + 127) // 255


def _shrink(image_HWC: np.ndarray, scale: int) -> np.ndarray:
    """Step 2, the means of blocks: whole numbers (ceil(H / scale), ceil(W / scale), C)."""
    if scale == 1:
        return image_HWC.astype(np.int32)
    height, width = image_HWC.shape[:2]
    rows, columns = np.arange(0, height, scale), np.arange(0, width, scale)
    sums_HWC = np.add.reduceat(np.add.reduceat(image_HWC, rows, axis=0, dtype=np.int64), columns, axis=1)
    heights, widths = np.minimum(scale, height - rows), np.minimum(scale, width - columns)
    sizes_HW1 = (heights[:, None] * widths)[:, :, None]
    return (sums_HWC + sizes_HW1 // 2) // sizes_HW1


def _smooth(image_HWC: np.ndarray) -> np.ndarray:
    """Step 2, the blur."""
    if max(image_HWC.shape[:2]) <= _BLUR_SIDE:
        return image_HWC
    padded = np.pad(image_HWC, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:] + 8) // 16


def _clearest(image_HWC: np.ndarray) -> np.ndarray:
    """Step 3: the clearest channel (H, W), paper bright and ink dark."""
    channels = [image_HWC[:, :, 0]]
    if image_HWC.shape[2] == 3:
        channels = [_luminance(image_HWC), *np.moveaxis(image_HWC, 2, 0)]
    best_HW, best_score, is_bright = channels[0], -1, False
    for channel_HW in channels:
        score, signed = local_contrast(channel_HW)
        if score > best_score:
            best_HW, best_score, is_bright = channel_HW, score, signed > 0
    return 255 - best_HW if is_bright else best_HW


def _luminance(color_C: np.ndarray) -> np.ndarray:
    if color_C.shape[-1] == 1:
        return color_C[..., 0]
    return (299 * color_C[..., 0] + 587 * color_C[..., 1] + 114 * color_C[..., 2] + 500) // 1000


def _threshold(counts_V: np.ndarray) -> int:
    """Step 5: the ink above which it counts as written; with nothing written, the highest level there is."""
    levels_V = np.arange(256)
    num_below, mass_below = counts_V.cumsum(), (counts_V * levels_V).cumsum()
    # The start: half way between the median and the level that a thousandth of the pixels reaches.
    threshold = (_percentile(counts_V, _MEDIAN) + _top(counts_V)) // 2
    for _ in range(100):
        num_above = num_below[-1] - num_below[threshold]
        if not num_above or not num_below[threshold]:
            break
        above = (mass_below[-1] - mass_below[threshold]) / num_above
        below = mass_below[threshold] / num_below[threshold]
        following = int((above + below) / 2)
        if following == threshold:
            break
        threshold = following
    return threshold


def _top(counts_V: np.ndarray) -> int:
    """The highest level that at least a thousandth of the pixels reach."""
    above_V = counts_V[::-1].cumsum()[::-1]
    return int(np.flatnonzero(above_V * 1000 >= above_V[0])[-1])


def _percentile(counts_V: np.ndarray, percent: int) -> int:
    below_V = counts_V.cumsum()
    return int((below_V * 100 >= percent * below_V[-1]).argmax())
