"""Loss, accuracy and learning rate over a training, as one picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tinydigits.report.scales import accuracy_ticks, log_ticks, nines
from tinydigits.report.style import BLUE, GREEN, INK, ORANGE, QUIET, RULE, axes_at, new_figure, write_title
from tinydigits.report.text import percent

__all__ = ["Line", "draw_curves", "significant"]

_WIDTH, _LEFT, _PANEL_WIDTH, _PANEL_HEIGHT, _TOP, _STEP = 1280, 120, 940, 250, 150, 330


@dataclass(frozen=True)
class Line:
    """One curve: values against images seen.

    `num_images` is how many images one value of an accuracy stands for. A noisy line is drawn faint, under its mean
    over a twentieth of it to either side, which is what is named at its end.
    """

    name: str
    images_seen: Sequence[float]
    values: Sequence[float]
    num_images: int = 1
    noisy: bool = False

    @property
    def trend(self) -> list[float]:
        """The values, or their running mean where they are noisy."""
        if not self.noisy:
            return list(self.values)
        # Even to both sides at the start, where the values fall fast.
        reaches = [min(index, len(self.values) // 20) for index in range(len(self.values))]
        windows = (self.values[index - reach : index + reach + 1] for index, reach in enumerate(reaches))
        return [sum(window) / len(window) for window in windows]


def draw_curves(
    title: str, subtitle: str, *, loss: Sequence[Line], accuracy: Sequence[Line], lr: Line, num_train: int, end: int
) -> Figure:
    """Three panels over the same training: the first line of `loss` and `accuracy` is train, the second validation.

    `end` is the number of images that the whole training sees. The horizontal axis counts epochs of `num_train` images,
    or images where there is one epoch only. Accuracy is drawn by its error on a logarithmic scale, so that 99.0 % and
    99.9 % are as far apart as 90 % and 99 %: on a plain one every good run is a flat line.
    """
    figure = new_figure(_WIDTH, _TOP + 3 * _STEP - 10)
    write_title(figure, _LEFT, title, subtitle)
    unit = num_train if end > num_train else 1
    panels = [axes_at(figure, _LEFT, _TOP + number * _STEP, _PANEL_WIDTH, _PANEL_HEIGHT) for number in range(3)]
    _draw_loss(panels[0], loss, unit)
    _draw_accuracy(panels[1], accuracy, unit)
    _draw_rate(panels[2], lr, unit)
    for panel, name in zip(panels, ("loss", "accuracy, spaced by its error", "learning rate"), strict=True):
        _finish_panel(panel, name, end / unit)
    panels[-1].set_xlabel("epoch" if unit > 1 else "images seen", fontsize=8.5, color=QUIET)
    return figure


def _draw_loss(panel: Axes, lines: Sequence[Line], unit: int) -> None:
    values = [value for line in lines for value in line.trend]
    low, high = min(values, default=0.0), max(values, default=1.0)
    ends = [significant(line.trend[-1]) if line.values else "" for line in lines]
    if low > 0 and high / low > 8:
        _set_ticks(panel, [math.log10(value) for value in values], *log_ticks(low, high))
        _draw_lines(panel, lines, ends, unit, lambda value, line: math.log10(max(value, low / 1e3)))
    else:
        panel.locator_params(axis="y", nbins=5)
        _draw_lines(panel, lines, ends, unit)


def _draw_accuracy(panel: Axes, lines: Sequence[Line], unit: int) -> None:
    drawn = [nines(value, line.num_images) for line in lines for value in line.trend]
    low, high = min(drawn, default=0.0), max(drawn, default=1.0)
    margin = _margin(low, high)
    whole = [line.num_images for line in lines if 1.0 in line.trend]
    ticks = accuracy_ticks(low - margin, high + margin, at_least=(high - low + 2 * margin) / 9, whole=whole)
    _set_ticks(panel, drawn, [place for place, _ in ticks], [name for _, name in ticks])
    ends = [percent(line.trend[-1]) if line.values else "" for line in lines]
    _draw_lines(panel, lines, ends, unit, lambda value, line: nines(value, line.num_images))


def _draw_rate(panel: Axes, line: Line, unit: int) -> None:
    panel.locator_params(axis="y", nbins=5)
    panel.set_ylim(0, 1.08 * max(line.values, default=1.0))
    _draw_lines(panel, [line], [""], unit, colours=(GREEN,))


def _draw_lines(
    panel: Axes,
    lines: Sequence[Line],
    figures: Sequence[str],
    unit: int,
    place: Callable[[float, Line], float] = lambda value, line: value,
    colours: Sequence[str] = (BLUE, ORANGE),
) -> None:
    """Draw the lines and name each at its end, where the eye is anyway; a legend would have to be looked up."""
    ends = []
    for line, figure, colour in zip(lines, figures, colours, strict=False):
        if not line.values:
            continue
        seen = [images / unit for images in line.images_seen]
        if line.noisy:
            raw = [place(value, line) for value in line.values]
            panel.plot(seen, raw, color=colour, linewidth=0.8, alpha=0.3, zorder=2, scaley=False)
        places = [place(value, line) for value in line.trend]
        marked = len(places) <= 50
        panel.plot(
            seen, places, color=colour, linewidth=1.6, marker="o" if marked else None,
            markersize=7 if len(places) == 1 else 3, clip_on=False, zorder=3,
        )  # fmt: skip
        if figure:
            ends.append((places[-1], f"{line.name} {figure}", colour))
    _name_ends(panel, ends)


def _name_ends(panel: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    low, high = panel.get_ylim()
    heights = [(place - low) / (high - low) for place, _, _ in ends]
    apart = 0.13  # of the panel's height: one line of text
    if len(heights) == 2 and abs(heights[0] - heights[1]) < apart:
        middle, way = sum(heights) / 2, 1 if heights[0] >= heights[1] else -1
        heights = [middle + way * apart / 2, middle - way * apart / 2]
    for height, (_, text, colour) in zip(heights, ends, strict=True):
        panel.text(
            1.025, height, text, transform=panel.transAxes, color=colour, fontsize=8.5, fontweight="bold",
            va="center", ha="left", parse_math=False,
        )  # fmt: skip


def _finish_panel(panel: Axes, name: str, end: float) -> None:
    panel.set_title(name, loc="left", fontsize=9.5, fontweight="bold", color=INK, pad=7)
    panel.set_xlim(0, end)
    panel.locator_params(axis="x", nbins=10, integer=True)
    panel.xaxis.set_major_formatter(lambda value, position: f"{value:,.0f}")
    panel.grid(axis="y", color=RULE, linewidth=0.7)
    panel.set_axisbelow(True)
    panel.tick_params(labelsize=8, length=3, color=RULE, labelcolor=QUIET)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.spines["bottom"].set_color(RULE)


def _set_ticks(panel: Axes, drawn: Sequence[float], places: Sequence[float], names: Sequence[str]) -> None:
    panel.set_yticks(places, names)
    low, high = min(drawn, default=0.0), max(drawn, default=1.0)
    panel.set_ylim(low - _margin(low, high), high + _margin(low, high))


def _margin(low: float, high: float) -> float:
    return max(0.08 * (high - low), 0.25 - (high - low) / 2)  # half a decade at least, so that some tick is in sight


def significant(value: float) -> str:
    """A loss in three digits."""
    return f"{value:#.3g}" if value >= 1e-3 else f"{value:.1e}"
