"""Parts: connected ink, and which parts make one digit.

Ink that touches, also by a corner, is one part. Parts with less than a fiftieth of the pixels of the largest are specks
and dropped; so are dark corners and the edge of the sheet: parts that lie along the picture's edge for at least as long
as they are tall and wide, where a part a quarter as tall as the picture does not.

For reading many digits, parts that lie above each other are one digit: a five and its bar, a broken stroke. Then the
digits are put into lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Part", "groups_of", "paint", "parts_of"]

_SPECK = 50  # one part in this many of the largest
_LEAST = 4  # one part in this many of the picture's height
_RIM = 1  # pixels around ink above the threshold that keep their grey: the soft edge of a stroke


@dataclass(frozen=True)
class Part:
    """Connected ink: its runs (row, first column, column after the last), and its box."""

    runs: tuple[tuple[int, int, int], ...]
    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """Pixels of ink."""
        return sum(last - first for _, first, last in self.runs)


def parts_of(is_ink_HW: np.ndarray) -> list[Part]:
    """The parts of a picture without specks, in the order of their first pixel, row by row.

    >>> is_ink_HW = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]], bool)
    >>> [(part.left, part.top, part.area) for part in parts_of(is_ink_HW)]
    [(0, 0, 3), (0, 3, 1), (3, 3, 1)]
    """
    runs = _runs(is_ink_HW)
    leader: list[int] = []
    start_of_row = np.searchsorted([row for row, _, _ in runs], np.arange(len(is_ink_HW) + 1)).tolist()

    def root(index: int) -> int:
        while leader[index] != index:
            leader[index] = leader[leader[index]]
            index = leader[index]
        return index

    for index, (row, first, last) in enumerate(runs):
        leader.append(index)
        for above in range(start_of_row[row - 1] if row else 0, start_of_row[row] if row else 0):
            if runs[above][1] <= last and first <= runs[above][2]:  # also by a corner
                one, other = sorted((root(above), root(index)))
                leader[other] = one
    members: dict[int, list[tuple[int, int, int]]] = {}
    for index, run in enumerate(runs):
        members.setdefault(root(index), []).append(run)
    parts = [_part(tuple(own_runs)) for own_runs in members.values()]
    height, width = is_ink_HW.shape
    inside = [part for part in parts if not _lies_along_the_edge(part, height, width)]
    if any(_LEAST * (part.bottom - part.top) >= height for part in inside):
        parts = inside
    largest = max((part.area for part in parts), default=0)
    return [part for part in parts if part.area * _SPECK >= largest]


def groups_of(parts: list[Part]) -> list[list[Part]]:
    """Parts that make one digit, in reading order: line by line, from left to right.

    >>> one = Part(((0, 0, 2),), left=0, top=0, right=2, bottom=9)
    >>> five, bar = Part((), left=10, top=3, right=15, bottom=9), Part((), left=11, top=0, right=16, bottom=2)
    >>> [len(group) for group in groups_of([bar, five, one])]
    [1, 2]

    Parts are one digit where their columns overlap in at least half of the narrower one, and their rows overlap too, or
    one is a fragment near the other. A digit goes on with the line whose last digit shares most rows with it, at least
    half of the shorter one's: so a line may rise or fall.
    """
    groups: list[list[Part]] = []
    for part in sorted(parts, key=lambda part: (part.left, part.top)):
        near = [group for group in groups if _is_one_digit(group, part)]
        for group in near:
            groups.remove(group)
        groups.append([*(member for group in near for member in group), part])
    largest = max((_height(group) for group in groups), default=0)
    # A digit is at least a quarter as tall as the tallest: what is smaller is punctuation, or dirt.
    digits = [group for group in groups if 4 * _height(group) >= largest]
    lines: list[list[list[Part]]] = []
    for group in sorted(digits, key=lambda group: _box(group).left):
        line = max(lines, key=lambda line: _shared(_rows(line[-1]), _rows(group)), default=[])
        if line and _overlap(_rows(line[-1]), _rows(group)):
            line.append(group)
        else:
            lines.append([group])
    return [group for line in sorted(lines, key=_middle) for group in line]


def paint(gray_HW: np.ndarray, parts: list[Part]) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The grey levels of some parts and of a rim around them, all else 0, cropped; and their box without the rim."""
    box = _box(parts)
    top, left = max(box.top - _RIM, 0), max(box.left - _RIM, 0)
    bottom, right = min(box.bottom + _RIM, gray_HW.shape[0]), min(box.right + _RIM, gray_HW.shape[1])
    is_kept_HW = np.zeros((bottom - top, right - left), dtype=bool)
    for part in parts:
        for row, first, last in part.runs:
            rows = slice(max(row - _RIM - top, 0), row + _RIM + 1 - top)
            is_kept_HW[rows, max(first - _RIM - left, 0) : last + _RIM - left] = True
    size = (box.left, box.top, box.right - box.left, box.bottom - box.top)
    return np.where(is_kept_HW, gray_HW[top:bottom, left:right], 0).astype(np.uint8), size


def _runs(is_ink_HW: np.ndarray) -> list[tuple[int, int, int]]:
    edges_HW = np.diff(np.pad(is_ink_HW.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, firsts = np.nonzero(edges_HW == 1)
    lasts = np.nonzero(edges_HW == -1)[1]
    return list(zip(rows.tolist(), firsts.tolist(), lasts.tolist(), strict=True))


def _part(runs: tuple[tuple[int, int, int], ...]) -> Part:
    left, right = min(first for _, first, _ in runs), max(last for _, _, last in runs)
    return Part(runs, left, min(row for row, _, _ in runs), right, max(row for row, _, _ in runs) + 1)


def _lies_along_the_edge(part: Part, height: int, width: int) -> bool:
    at_edge = sum(
        (first == 0) + (last == width) + (last - first) * ((row == 0) + (row == height - 1))
        for row, first, last in part.runs
    )
    return at_edge >= max(part.right - part.left, part.bottom - part.top)


def _box(parts: list[Part]) -> Part:
    return Part(
        (), min(part.left for part in parts), min(part.top for part in parts),
        max(part.right for part in parts), max(part.bottom for part in parts),
    )  # fmt: skip


def _rows(parts: list[Part]) -> tuple[int, int]:
    return _box(parts).top, _box(parts).bottom


def _height(parts: list[Part]) -> int:
    box = _box(parts)
    return box.bottom - box.top


def _middle(line: list[list[Part]]) -> float:
    """Where a line lies, from above: lines that rise side by side keep their order."""
    return sum(sum(_rows(group)) for group in line) / len(line)


def _shared(one: tuple[int, int], other: tuple[int, int]) -> int:
    return min(one[1], other[1]) - max(one[0], other[0])


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two spans share at least half of the shorter one."""
    return 2 * _shared(one, other) >= min(one[1] - one[0], other[1] - other[0])


def _is_one_digit(group: list[Part], part: Part) -> bool:
    """Columns overlap; rows do too, or one is at most half as tall as the other and no further away than a quarter."""
    box = _box(group)
    low, high = sorted((box.bottom - box.top, part.bottom - part.top))
    gap = max(box.top, part.top) - min(box.bottom, part.bottom)
    is_near = gap <= 0 or (2 * low <= high and 4 * gap <= high)
    return is_near and _overlap((box.left, box.right), (part.left, part.right))
