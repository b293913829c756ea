"""The confusion matrix as a picture in which the mistakes, not the diagonal, catch the eye."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from tinydigits.report.style import (
    DPI,
    INK,
    ORANGE,
    PAPER,
    QUIET,
    RULE,
    axes_at,
    class_names,
    new_figure,
    text_width,
    write_text,
    write_title,
)  # fmt: skip

__all__ = ["draw_confusion"]

_MISTAKES = LinearSegmentedColormap.from_list("mistakes", [PAPER, "#FBD9C0", ORANGE, "#7A3300"])
_DIAGONAL = np.array([0xDD, 0xE9, 0xF3]) / 255
_LONGEST_NAME = 18
# In pixels.
_LARGEST_MATRIX, _LARGEST_CELL, _SMALLEST_LINE, _EDGE = 1200, 72, 16, 40


def draw_confusion(title: str, subtitle: str, confusion_KK: np.ndarray, classes: Sequence[str]) -> Figure:
    """Counts by label (row) and answer (column), with each label's recall and each answer's precision.

    The diagonal has one quiet colour; the others go from white to dark by their own largest count, so a single mistake
    among ten thousand is seen. Works for any number of classes: with many, counts and then names give way to room.
    """
    num_classes = len(confusion_KK)
    cell = max(4, min(_LARGEST_CELL, _LARGEST_MATRIX // num_classes))
    matrix = cell * num_classes
    every = math.ceil(_SMALLEST_LINE / cell)  # a name stands at every row, or at every second, third …
    size = min(9.5, 0.8 * cell * every * 72 / DPI)
    names = class_names(classes, _LONGEST_NAME)
    name_room = text_width(max(names, key=len), size)
    flat = name_room <= 0.9 * cell
    left = max(90 + name_room, 190)
    top = 150 + (22 if flat else name_room)
    rate_size = min(8.5, size)
    rate_room = text_width("100.00", rate_size)
    rates_flat = rate_room <= 0.96 * cell
    # A title longer than a small matrix still fits.
    width = max(left + matrix + 180, 2 * _EDGE + max(text_width(title, 12), text_width(subtitle, 8.5)))
    figure = new_figure(round(width), round(top + matrix + (30 if rates_flat else rate_room) + _EDGE))
    write_title(figure, _EDGE, title, subtitle)
    _draw_cells(figure, confusion_KK, left, top, cell)

    right, bottom = left + matrix, top + matrix
    write_text(figure, left + matrix / 2, 122, "answer", size=9, color=QUIET, align="center")
    write_text(figure, 60, top + matrix / 2, "label", size=9, color=QUIET, align="center", rotation=90)
    write_text(figure, right + 20, top - 12, "recall %", size=9, color=QUIET)
    write_text(figure, left - 14, bottom + 29, "precision %", size=9, color=QUIET, align="right")
    seen_K, answered_K, correct_K = confusion_KK.sum(1), confusion_KK.sum(0), np.diag(confusion_KK)
    for index in range(0, num_classes, every):
        row, column = top + (index + 0.5) * cell, left + (index + 0.5) * cell
        recall, precision = (_rate(correct_K[index], of_K[index]) for of_K in (seen_K, answered_K))
        write_text(figure, left - 14, row, names[index], size=size, align="right", vertical="center_baseline")
        write_text(
            figure, right + 20 + rate_room, row, recall, size=rate_size, align="right", vertical="center_baseline"
        )
        _write_over(figure, column, top - 12, names[index], size=size, flat=flat, align="left")
        _write_over(
            figure, column, bottom + (29 if rates_flat else 12), precision, size=rate_size, flat=rates_flat,
            align="right",
        )  # fmt: skip
    return figure


def _draw_cells(figure: Figure, confusion_KK: np.ndarray, left: float, top: float, cell: int) -> None:
    num_classes = len(confusion_KK)
    mistakes_KK = confusion_KK.copy()
    np.fill_diagonal(mistakes_KK, 0)
    most = max(1, int(mistakes_KK.max()))
    # A single mistake is clearly not white, and where there are only single ones, not dark either.
    strength_KK = np.where(mistakes_KK > 0, 0.15 + 0.85 * mistakes_KK / most if most > 1 else 0.45, 0)
    pixels_KK3 = _MISTAKES(strength_KK)[..., :3]
    pixels_KK3[np.arange(num_classes), np.arange(num_classes)] = _DIAGONAL
    panel = axes_at(figure, left, top, cell * num_classes, cell * num_classes)
    panel.imshow(pixels_KK3, interpolation="nearest", aspect="auto")
    edges = np.arange(num_classes + 1) - 0.5
    panel.set_xticks(edges, [])
    panel.set_yticks(edges, [])
    panel.tick_params(length=0)
    if cell >= 10:
        panel.grid(color=RULE, linewidth=0.6)
    for spine in panel.spines.values():
        spine.set_color(RULE)
    size = min(10.0, cell / text_width("x" * len(str(confusion_KK.max())), 1))
    if size < 4.5:
        return  # too small to be read
    for row, column in np.argwhere(confusion_KK > 0):
        dark = row != column and strength_KK[row, column] > 0.62
        panel.text(
            column, row, str(confusion_KK[row, column]), ha="center", va="center_baseline", fontsize=size,
            color=PAPER if dark else INK, fontweight="bold" if row != column else "normal",
        )  # fmt: skip


def _write_over(figure: Figure, column: float, top: float, text: str, *, size: float, flat: bool, align: str) -> None:
    """Text over or under a column, upright where it would not fit."""
    if flat:
        write_text(figure, column, top, text, size=size, align="center")
    else:
        # An anchor lies on the baseline: upright text is centred when that is moved by a third of its size.
        write_text(figure, column + size * 0.36 * DPI / 72, top, text, size=size, align=align, rotation=90)


def _rate(right: int, of: int) -> str:
    return f"{100 * right / of:.2f}" if of else "–"
