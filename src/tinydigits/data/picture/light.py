"""The light on a picture: a percentile of the surroundings of each pixel, carried on to the picture's edges.

1. The picture is divided into 16 × 16 tiles, fewer where it has fewer rows or columns: pixel i of n is in tile
   floor(i · tiles / n). A tile's value is the percentile of a window of ceil(tiles / 2) tiles in each direction around
   it: large enough that thick ink does not fill it. At the edges the window is moved inwards, so that the tiles there
   have the value of one that lies up to a quarter of the picture further in.
2. Light goes on falling to the edges. The values of the windows that were not moved, averaged over the rows or the
   columns, are a profile of the light along the other direction. A straight line is fitted to it by least squares, and
   a parabola where that fits: where what it leaves is at most a tenth of what the bend explains (a lamp does that, the
   edge of a shadow does not). Each tile's value changes by what the fit says between its window and itself, and stays
   within 0 to 255.
3. Between the centres of tiles the values are interpolated, first along the columns, then along the rows, and rounded:
   floor(value + 0.500001).
"""

from __future__ import annotations

import numpy as np

__all__ = ["local_contrast", "local_percentile"]

_TILES = 16


def local_percentile(level_HW: np.ndarray, percent: int) -> np.ndarray:
    """The percentile of the surroundings of each pixel: whole numbers in, int64 (H, W) out.

    >>> local_percentile(np.full((4, 6), 200), 75)[0].tolist()
    [200, 200, 200, 200, 200, 200]
    """
    values_RC = _percentiles(_counts(level_HW), percent)
    (height, width), (rows, columns) = level_HW.shape, values_RC.shape
    top_H, down_H = _between_centres(height, rows)
    left_W, right_W = _between_centres(width, columns)
    next_row, next_column = np.minimum(top_H + 1, rows - 1), np.minimum(left_W + 1, columns - 1)
    upper_RW = values_RC[:, left_W] * (1 - right_W) + values_RC[:, next_column] * right_W
    value_HW = upper_RW[top_H] * (1 - down_H)[:, None] + upper_RW[next_row] * down_H[:, None]
    return np.floor(value_HW + 0.500001).astype(np.int64)


def local_contrast(level_HW: np.ndarray) -> tuple[int, int]:
    """How far pixels are from the median around their tile: the sum of the cubes of the distances, and the signed sum.

    >>> local_contrast(np.array([[200] * 7 + [100]]))
    (1000000, -1000000)
    """
    counts_RCV = _counts(level_HW)
    median_RC = np.floor(_percentiles(counts_RCV, 50) + 0.500001).astype(np.int64)
    cubes_RCV = counts_RCV * (np.arange(256) - median_RC[:, :, None]) ** 3
    return int(np.abs(cubes_RCV).sum()), int(cubes_RCV.sum())


def _counts(level_HW: np.ndarray) -> np.ndarray:
    """Step 1: how many pixels of each tile have each level, int64 (R, C, 256)."""
    height, width = level_HW.shape
    rows, columns = min(_TILES, height), min(_TILES, width)
    tile_of_row, tile_of_column = np.arange(height) * rows // height, np.arange(width) * columns // width
    flat_HW = (tile_of_row[:, None] * columns + tile_of_column) * 256 + level_HW
    return np.bincount(flat_HW.ravel(), minlength=rows * columns * 256).reshape(rows, columns, 256)


def _percentiles(counts_RCV: np.ndarray, percent: int) -> np.ndarray:
    """Steps 1 and 2: the value of each tile, float64 (R, C)."""
    rows, columns, _ = counts_RCV.shape
    # Whole numbers in doubles: exact, and a product of matrices is far quicker than running sums.
    in_rows = _window_matrix(rows) @ counts_RCV.reshape(rows, -1).astype(np.float64)
    below_RCV = (_window_matrix(columns) @ in_rows.reshape(rows, columns, 256)).cumsum(axis=2)
    values_RC = (below_RCV * 100 >= percent * below_RCV[:, :, -1:]).argmax(axis=2).astype(np.float64)
    bend_R, bend_C = _bend(values_RC.mean(axis=1)), _bend(values_RC.mean(axis=0))
    return np.clip(values_RC + bend_R[:, None] + bend_C, 0, 255)


def _windows(num_tiles: int) -> tuple[np.ndarray, int]:
    """Step 1 along one side: the first tile of each tile's window, and how many tiles a window has."""
    span = (num_tiles + 1) // 2
    return np.clip(np.arange(num_tiles) - span // 2, 0, num_tiles - span), span


def _window_matrix(num_tiles: int) -> np.ndarray:
    """1 where a tile (column) is in the window of another (row)."""
    first_T, span = _windows(num_tiles)
    tile_T = np.arange(num_tiles)
    return ((tile_T >= first_T[:, None]) & (tile_T < first_T[:, None] + span)).astype(np.float64)


def _bend(profile_T: np.ndarray) -> np.ndarray:
    """Step 2 along one side of T tiles: what to add to each tile's value. Places are in tiles from the middle."""
    num_tiles = len(profile_T)
    first_T, span = _windows(num_tiles)
    num_windows = num_tiles - span + 1
    if num_windows < 3:
        return np.zeros(num_tiles)
    tile_of_window = np.arange(num_windows) + span // 2  # the tile whose window was not moved
    x_W = np.arange(num_windows) - (num_windows - 1) / 2
    square_W = x_W**2 - _total(x_W**2) / num_windows
    value_W = profile_T[tile_of_window] - _total(profile_T[tile_of_window]) / num_windows
    slope = _total(value_W * x_W) / _total(x_W**2)
    curvature = _total(value_W * square_W) / _total(square_W**2)
    rest_W = value_W - slope * x_W - curvature * square_W
    if 10 * _total(rest_W**2) > _total((curvature * square_W) ** 2):
        curvature = 0.0
    tile_T = np.arange(num_tiles) - (num_tiles - 1) / 2
    window_T = first_T - (num_windows - 1) / 2
    return slope * (tile_T - window_T) + curvature * (tile_T**2 - window_T**2)


def _total(values: np.ndarray) -> float:
    """A sum from left to right, as JavaScript makes it; NumPy's own order may be another."""
    return float(sum(values.tolist()))


def _between_centres(num_pixels: int, num_tiles: int) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel: the tile whose centre lies before it, and how far towards the next centre it is, 0 to 1."""
    position = (np.arange(num_pixels) + 0.5) * num_tiles / num_pixels - 0.5
    before = np.clip(np.floor(position), 0, num_tiles - 1)
    return before.astype(np.int64), np.clip(position - before, 0, 1)
