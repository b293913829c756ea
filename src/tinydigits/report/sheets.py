"""Sheets of small pictures with a line or more under each, drawn pixel by pixel without any resampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure

from tinydigits.report.style import BLUE, INK, ORANGE, PAPER, QUIET, class_names, new_figure, write_text, write_title

__all__ = ["Mistakes", "draw_augmented", "draw_filters", "draw_mistakes", "filter_pictures"]

_LEFT, _TOP, _GAP, _LINE = 40, 110, 22, 25
_NUM_MISTAKES, _NUM_AUGMENTED, _NUM_FILTERS = 40, 60, 64
_FONT_SIZE, _LETTERS_PER_CELL = 8.5, 13


@dataclass(frozen=True)
class Mistakes:
    """Wrongly answered images, the surest first; `probability` is that of the wrong answer, 0 to 1."""

    images_NHW: np.ndarray
    labels_N: np.ndarray
    predicted_N: np.ndarray
    probability_N: np.ndarray


def draw_mistakes(title: str, subtitle: str, mistakes: Mistakes, classes: Sequence[str]) -> Figure:
    """The worst mistakes: each image, its label → the answer, and how sure the model was of it."""
    names = class_names(classes, _LETTERS_PER_CELL - 2)
    longest = max(map(len, names), default=1)
    one_line = 2 * longest + 3 <= _LETTERS_PER_CELL
    sheet = _Sheet(
        title, subtitle, mistakes.images_NHW[:_NUM_MISTAKES], columns=8, scale=5, num_lines=2 if one_line else 3
    )
    if not len(mistakes.labels_N):
        write_text(sheet.figure, _LEFT, _TOP + 50, "No mistakes.", size=11, color=QUIET)
    answers = zip(mistakes.labels_N, mistakes.predicted_N, mistakes.probability_N, strict=True)
    for number, (label, predicted, probability) in enumerate(list(answers)[:_NUM_MISTAKES]):
        if one_line:
            sheet.write(number, 0, f"{names[label]} → {names[predicted]}", color=INK, weight="bold")
        else:
            sheet.write(number, 0, names[label], color=INK)
            sheet.write(number, 1, f"→ {names[predicted]}", color=ORANGE, weight="bold")
        sheet.write(number, 1 if one_line else 2, _sure(float(probability)), color=QUIET)
    return sheet.figure


def draw_augmented(
    title: str, subtitle: str, images_NHW: np.ndarray, labels_N: np.ndarray, classes: Sequence[str]
) -> Figure:
    """Training images as the model sees them, each over its label."""
    names = class_names(classes, 8)
    sheet = _Sheet(title, subtitle, images_NHW[:_NUM_AUGMENTED], columns=12, scale=3, num_lines=1)
    for number, label in enumerate(labels_N[:_NUM_AUGMENTED]):
        sheet.write(number, 0, names[label], color=INK)
    return sheet.figure


def filter_pictures(filters: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Each filter's name and picture (H, W, 3): blue below zero, orange above, on the scale of the strongest weight.

    >>> [(name, picture.tolist()) for name, picture in filter_pictures(np.array([[[[0.0, 2.0]]]]))]
    [('0', [[[255, 255, 255], [213, 94, 0]]])]

    `filters` is (filters, channels, rows, columns); of several channels each is a picture of its own.
    """
    strongest = float(np.abs(filters).max(initial=0)) or 1.0
    below, zero, above = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (BLUE, PAPER, ORANGE))
    found = []
    for number, channels in enumerate(filters):
        for channel, weight_HW in enumerate(channels):
            share_HW1 = (weight_HW / strongest)[..., None]
            colour_HW3 = zero + np.abs(share_HW1) * (np.where(share_HW1 < 0, below, above) - zero)
            name = f"{number}" if len(channels) == 1 else f"{number}.{channel}"
            found.append((name, colour_HW3.round().astype(np.uint8)))
    return found[:_NUM_FILTERS]


def draw_filters(title: str, subtitle: str, filters: np.ndarray) -> Figure:
    """The first layer's filters, see `filter_pictures`, each over its number."""
    pictures = filter_pictures(filters)
    images_NHW3 = np.stack([picture for _, picture in pictures])
    sheet = _Sheet(title, subtitle, images_NHW3, columns=12, scale=max(1, 84 // images_NHW3.shape[1]), num_lines=1)
    for number, (name, _) in enumerate(pictures):
        sheet.write(number, 0, name, color=QUIET)
    return sheet.figure


def _sure(probability: float) -> str:
    """Per cent; two decimals only where one would round to all.

    >>> _sure(0.98), _sure(0.9996)
    ('98.0 %', '99.96 %')
    """
    return f"{100 * probability:.1f} %" if probability < 0.9995 else f"{100 * min(probability, 0.9999):.2f} %"


class _Picture(Artist):
    """A grey or coloured image at a place in pixels from the lower left corner, handed to the renderer as it is.

    matplotlib's own images are resampled as floats of the whole figure: 150 MB for a sheet of pictures this small.
    """

    def __init__(self, image: np.ndarray, scale: int, left: int, bottom: int) -> None:
        super().__init__()
        self.image_HW3 = image if image.ndim == 3 else np.stack([image] * 3, axis=2)
        self.scale, self.left, self.bottom = scale, left, bottom

    def draw(self, renderer: RendererBase) -> None:
        """Draw every pixel `scale` × `scale` large."""
        # Renderers take the lowest row first.
        large_HW3 = self.image_HW3[::-1].repeat(self.scale, 0).repeat(self.scale, 1)
        rgba_HW4 = np.concatenate([large_HW3, np.full_like(large_HW3[..., :1], 255)], axis=2)
        renderer.draw_image(renderer.new_gc(), self.left, self.bottom, rgba_HW4)


class _Sheet:
    """Pictures in rows, every pixel drawn `scale` × `scale` large, with room for `num_lines` under each."""

    def __init__(
        self, title: str, subtitle: str, images: np.ndarray, *, columns: int, scale: int, num_lines: int
    ) -> None:
        height, width = (side * scale for side in images.shape[1:3])
        self.columns, self.height, self.width = columns, height, width
        self.row_height = height + num_lines * _LINE + _GAP
        num_rows = max(1, -(-len(images) // columns))
        whole_height = _TOP + num_rows * self.row_height + 10
        self.figure = new_figure(2 * _LEFT + columns * (width + _GAP) - _GAP, whole_height)
        for number, image in enumerate(images):
            left, top = self._place(number)
            self.figure.add_artist(_Picture(image, scale, left, whole_height - top - height))
        write_title(self.figure, _LEFT, title, subtitle)

    def _place(self, number: int) -> tuple[int, int]:
        row, column = divmod(number, self.columns)
        return _LEFT + column * (self.width + _GAP), _TOP + row * self.row_height

    def write(self, number: int, line: int, text: str, *, color: str, weight: str = "normal") -> None:
        """A line of text, counted from 0, under the picture of this number."""
        left, top = self._place(number)
        write_text(
            self.figure, left + self.width / 2, top + self.height + (line + 1) * _LINE - 2, text, size=_FONT_SIZE,
            color=color, align="center", weight=weight,
        )  # fmt: skip
