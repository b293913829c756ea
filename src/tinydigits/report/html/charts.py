"""Charts as SVG inside a page: lines and words take the page's own colours, so they work in light, dark and print."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from tinydigits.report import text
from tinydigits.report.comparison import Comparison
from tinydigits.report.curves import Line, significant
from tinydigits.report.kept import Curves
from tinydigits.report.scales import FINE_SHARES, accuracy_ticks, log_ticks, nines, round_ticks, size_ticks
from tinydigits.stats import wilson_interval

__all__ = ["curve_charts", "frontier_chart", "reliability_chart"]

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 250, 74, 160, 14, 44
_ROOM_BESIDE = 200  # for runs of the same size


@dataclass(frozen=True)
class _Frame:
    """A plotting area with its ranges; `x` and `y` place a value in it."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    width: int = _WIDTH
    height: int = _HEIGHT
    right: int = _RIGHT

    def x(self, value: float) -> float:
        share = (value - self.x_low) / ((self.x_high - self.x_low) or 1)
        return round(_LEFT + share * (self.width - _LEFT - self.right), 1)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / ((self.y_high - self.y_low) or 1)
        return round(self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM), 1)

    def axes(self, x_ticks: Sequence[tuple[float, str]], y_ticks: Sequence[tuple[float, str]], x_name: str) -> Markup:
        left, right, bottom = self.x(self.x_low), self.x(self.x_high), self.y(self.y_low)
        parts = [
            Markup(
                '<line class="grid" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="tick" x="{}" y="{}">{}</text>'
            ).format(left, right, self.y(value), self.y(value), left - 8, self.y(value) + 4, name)
            for value, name in y_ticks
        ]
        parts += [
            Markup('<text class="below" x="{}" y="{}">{}</text>').format(self.x(value), bottom + 18, name)
            for value, name in x_ticks
        ]
        parts.append(Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(left, right, bottom, bottom))
        name = Markup('<text class="below name" x="{}" y="{}">{}</text>').format(
            (left + right) / 2, bottom + 36, x_name
        )
        return Markup("").join([*parts, name])

    def svg(self, title: str, content: Markup) -> Markup:
        return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            self.width, self.height, title, content
        )


def _path(frame: _Frame, xs: Sequence[float], ys: Sequence[float], kind: str) -> Markup:
    if len(xs) == 1:
        return Markup('<circle class="{}" cx="{}" cy="{}" r="4"/>').format(
            f"dot {kind}", frame.x(xs[0]), frame.y(ys[0])
        )
    points = " ".join(f"{frame.x(x)},{frame.y(y)}" for x, y in zip(xs, ys, strict=True))
    return Markup('<polyline class="{}" points="{}"/>').format(f"line {kind}", points)


def curve_charts(curves: Curves) -> list[tuple[str, Markup]]:
    """Loss, accuracy (spaced by its error) and learning rate over a training, each with its name."""
    unit = curves.num_train if curves.end > curves.num_train else 1
    losses = [value for line in curves.loss for value in line.trend]
    charts = []
    if losses:
        low, high = min(losses), max(losses)
        if low > 0 and high / low > 8:
            places = {id(line): [math.log10(value) for value in line.trend] for line in curves.loss}
            ticks = list(zip(*log_ticks(low, high), strict=True))
        else:
            places = {id(line): line.trend for line in curves.loss}
            ticks = [(tick, f"{tick:g}") for tick in round_ticks(min(0, low), high)]
        charts.append(("loss", _lines(curves.loss, places, ticks, unit, curves.end, significant, "loss")))
    shares = {id(line): [nines(value, line.num_images) for value in line.trend] for line in curves.accuracy}
    if any(shares.values()):
        drawn = [place for found in shares.values() for place in found]
        low, high = min(drawn), max(drawn)
        whole = [line.num_images for line in curves.accuracy if 1.0 in line.trend]
        ticks = accuracy_ticks(low - 0.2, high, at_least=max(0.05, (high - low) / 6), whole=whole)
        charts.append((
            "accuracy, spaced by its error",
            _lines(curves.accuracy, shares, ticks, unit, curves.end, text.percent, "accuracy"),
        ))  # fmt: skip
    if curves.lr.values:
        ticks = [(tick, f"{tick:g}") for tick in round_ticks(0, max(curves.lr.values) or 1)]
        places = {id(curves.lr): list(curves.lr.values)}
        charts.append(("learning rate", _lines([curves.lr], places, ticks, unit, curves.end, None, "learning rate")))
    return charts


def _lines(
    lines: Sequence[Line], places: dict[int, list[float]], ticks: Sequence[tuple[float, str]], unit: int, end: int,
    words: Callable[[float], str] | None, name: str,
) -> Markup:  # fmt: skip
    values = [place for found in places.values() for place in found] + [place for place, _ in ticks]
    margin = 0.04 * ((max(values) - min(values)) or 1)
    frame = _Frame(0, end / unit, min(values) - margin, max(values) + margin)
    content: list[Markup] = []
    heights: list[float] = []
    labels: list[tuple[str, str]] = []
    for kind, line in zip(("first", "second"), lines, strict=False):
        if not line.values:
            continue
        content.append(_path(frame, [seen / unit for seen in line.images_seen], places[id(line)], kind))
        heights.append(frame.y(places[id(line)][-1]) + 4)
        labels.append((kind, line.name if words is None else f"{line.name} {words(line.trend[-1])}"))
    if len(heights) == 2 and abs(heights[0] - heights[1]) < 17:
        middle, way = sum(heights) / 2, 1 if heights[0] >= heights[1] else -1
        heights = [middle + way * 8.5, middle - way * 8.5]
    content += [
        Markup('<text class="end {}" x="{}" y="{}">{}</text>').format(kind, frame.x(frame.x_high) + 10, y, label)
        for y, (kind, label) in zip(heights, labels, strict=True)
    ]
    x_ticks = [(tick, f"{tick:,.0f}") for tick in round_ticks(0, end / unit, 8) if tick == round(tick)]
    x_name = "epoch" if unit > 1 else "images seen"
    told = f"{name}: " + ", ".join(label for _, label in labels) + " at the end"
    return frame.svg(told, frame.axes(x_ticks, ticks, x_name) + Markup("").join(content))


def reliability_chart(reliability: np.ndarray) -> Markup:
    """Share of right answers against the probability that was given, bin by bin, with Wilson intervals.

    `reliability` has images, right answers and the sum of probabilities (3, bins).
    """
    frame = _Frame(0, 1, 0, 1, width=430, height=400, right=24)
    content = [
        Markup('<line class="ideal" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
            frame.x(0), frame.y(0), frame.x(1), frame.y(1)
        )
    ]
    whole = reliability[0].sum()
    for seen, right, total in reliability.T:
        if not seen:
            continue
        x, share = frame.x(total / seen), frame.y(right / seen)
        interval = wilson_interval(round(right), round(seen))
        told = f"{seen:,.0f} images: given {text.percent(total / seen)}, right {text.percent(right / seen)}"
        content.append(
            Markup(
                '<g><title>{}</title><line class="bar" x1="{}" x2="{}" y1="{}" y2="{}"/>'
                '<circle class="dot first" cx="{}" cy="{}" r="{}"/></g>'
            ).format(
                told,
                x,
                x,
                frame.y(interval.low),
                frame.y(interval.high),
                x,
                share,
                round(3 + 6 * (seen / whole) ** 0.5, 1),
            )
        )
    ticks = [(tick / 5, f"{20 * tick} %") for tick in range(6)]
    axes = frame.axes(ticks, ticks, "probability given to the answer")
    return frame.svg(
        "Reliability diagram: share of right answers against the probability given", axes + Markup("").join(content)
    )


def frontier_chart(comparison: Comparison) -> Markup:
    """Parameters against accuracy, both logarithmic, the latter by its error; bars are Wilson's intervals.

    All right has no logarithm: it stands half an image above one mistake in the largest set.
    """
    placed = comparison.placed()
    split = str(comparison.split)
    most = max(entry.counts[split][1] for entry in placed)
    ends = {entry.number: wilson_interval(*entry.counts[split]) for entry in placed}
    places = {entry.number: nines(comparison.accuracy(entry), most) for entry in placed}
    lows = [nines(interval.low, most) for interval in ends.values()]
    highs = [nines(interval.high, most) for interval in ends.values()]
    sizes = [math.log10(entry.record.num_parameters) for entry in placed]
    frame = _Frame(min(sizes) - 0.12, max(sizes) + 0.12, min(lows) - 0.05, max(highs) + 0.05, height=380, right=40)
    front = comparison.frontier()
    content = []
    if len(front) > 1:
        xs = [math.log10(entry.record.num_parameters) for entry in front]
        content.append(_path(frame, xs, [places[entry.number] for entry in front], "second"))
    for entry in placed:
        beside = [other.number for other in placed if other.record.num_parameters == entry.record.num_parameters]
        apart = min(12, _ROOM_BESIDE / len(beside))
        offset = apart * (beside.index(entry.number) - (len(beside) - 1) / 2)
        x, interval = round(frame.x(math.log10(entry.record.num_parameters)) + offset, 1), ends[entry.number]
        number = entry.number if apart >= 8 or entry in front else ""
        share = text.percent(comparison.accuracy(entry))
        told = f"{entry.number}: {entry.name}, {entry.record.num_parameters:,} parameters, {share}"
        content.append(
            Markup(
                '<g><title>{}</title><line class="bar" x1="{}" x2="{}" y1="{}" y2="{}"/>'
                '<circle class="dot {}" cx="{}" cy="{}" r="{}"/><text class="label" x="{}" y="{}">{}</text></g>'
            ).format(
                told,
                x,
                x,
                frame.y(nines(interval.low, most)),
                frame.y(nines(interval.high, most)),
                "second" if entry in front else "first",
                x,
                frame.y(places[entry.number]),
                7 if entry in front else 5,
                x + 9,
                frame.y(places[entry.number]) - 6,
                number,
            )
        )
    whole = [most] if any(comparison.accuracy(entry) == 1 for entry in placed) else []
    y_ticks = accuracy_ticks(
        frame.y_low, frame.y_high, at_least=(frame.y_high - frame.y_low) / 9, whole=whole, shares=FINE_SHARES
    )
    x_ticks = size_ticks(frame.x_low, frame.x_high)
    axes = frame.axes(x_ticks, y_ticks, "parameters")
    return frame.svg(
        f"Parameters against {escape(split)} accuracy of {len(placed)} runs", axes + Markup("").join(content)
    )
