"""Charts as SVG: drawn once, for a file beside a Markdown page and for the HTML page itself; light, dark and print."""

from __future__ import annotations

import base64
import io
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image

from tinydigits.errors import printable

__all__ = ["STYLE", "Chart", "Frame", "picture", "shorten", "stack", "text", "text_width"]

STYLE = Path(__file__).with_name("chart.css")
_EDGE, _LINE, _NARROWEST = 24, 17, 520  # of a file, in pixels


@dataclass(frozen=True)
class Chart:
    """A drawing with what it shows in words: `title` in a few, `note` in a sentence or two.

    >>> str(Chart("Loss", "Of two runs.", 20, 10, Markup("")).__html__())
    '<svg viewBox="0 0 20 10" role="img"><title>Loss</title><desc>Of two runs.</desc></svg>'
    """

    title: str
    note: str
    width: int
    height: int
    content: Markup

    def __html__(self) -> Markup:
        """The chart inside a page that has `STYLE`, a heading and a caption of its own."""
        return self._svg(self.width, self.height, Markup(""), self.content)

    def file(self) -> str:
        """The chart as a file of its own, under its title and note; equal charts give equal files."""
        width = max(self.width, _NARROWEST)
        room = width - 2 * _EDGE
        notes = textwrap.wrap(self.note, int(room / text_width("x", 12)))
        top = 48 + _LINE * len(notes)
        height = top + self.height
        attributes = Markup(' xmlns="http://www.w3.org/2000/svg" width="{}" height="{}"').format(width, height)
        content = Markup("").join(
            [
                Markup("<style>{}</style>").format(Markup(STYLE.read_text(encoding="utf-8"))),
                Markup('<rect class="paper" width="{}" height="{}"/>').format(width, height),
                text(_EDGE, 28, shorten(self.title, int(room / text_width("x", 17))), "title"),
                *(text(_EDGE, 48 + _LINE * number, note) for number, note in enumerate(notes)),
                Markup('<g transform="translate({} {})">{}</g>').format((width - self.width) // 2, top, self.content),
            ]
        )
        return self._svg(width, height, attributes, content) + "\n"

    def _svg(self, width: int, height: int, attributes: Markup, content: Markup) -> Markup:
        return Markup('<svg viewBox="0 0 {} {}"{} role="img"><title>{}</title><desc>{}</desc>{}</svg>').format(
            width, height, attributes, printable(self.title), printable(self.note), content
        )


def stack(title: str, note: str, charts: Sequence[Chart]) -> Chart:
    """Charts one below the other."""
    tops = [sum(chart.height for chart in charts[:index]) for index in range(len(charts))]
    parts = [
        Markup('<g transform="translate(0 {})">{}</g>').format(top, chart.content)
        for top, chart in zip(tops, charts, strict=True)
    ]
    width, height = max(chart.width for chart in charts), sum(chart.height for chart in charts)
    return Chart(title, note, width, height, Markup("").join(parts))


@dataclass(frozen=True)
class Frame:
    """A plotting area with its ranges; `x` and `y` place a value in it, and sides are in pixels.

    >>> frame = Frame(0, 10, 0, 1, width=300, height=150, left=50, right=50, top=25, bottom=25)
    >>> frame.x(5), frame.y(1)
    (150.0, 25.0)
    """

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    width: int = 640
    height: int = 270
    left: int = 74
    right: int = 160
    top: int = 34
    bottom: int = 44

    def x(self, value: float) -> float:
        share = (value - self.x_low) / ((self.x_high - self.x_low) or 1)
        return round(self.left + share * (self.width - self.left - self.right), 1)

    def y(self, value: float) -> float:
        """Its place; what lies beyond the area stands at its edge."""
        share = (min(max(value, self.y_low), self.y_high) - self.y_low) / ((self.y_high - self.y_low) or 1)
        return round(self.height - self.bottom - share * (self.height - self.top - self.bottom), 1)

    def chart(
        self, title: str, note: str, content: Iterable[Markup], *, x_ticks: Sequence[tuple[float, str]],
        y_ticks: Sequence[tuple[float, str]], x_name: str, heading: str = "",
    ) -> Chart:  # fmt: skip
        """The content within axes, each tick a value and its name; `heading` stands above them."""
        left, right, bottom = self.x(self.x_low), self.x(self.x_high), self.y(self.y_low)
        axes = [text(left, self.top - 16, heading, "heading")] if heading else []
        for value, name in y_ticks:
            axes += [_rule("grid", left, self.y(value), right, self.y(value))]
            axes += [text(left - 8, self.y(value) + 4, name, "tick")]
        axes += [text(self.x(value), bottom + 18, name, "below") for value, name in x_ticks]
        axes += [_rule("axis", left, bottom, right, bottom)]
        axes += [text((left + right) / 2, bottom + 36, x_name, "below")]
        return Chart(title, note, self.width, self.height, Markup("").join([*axes, *content]))

    def path(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> Markup:
        """The points joined; a single one is a dot."""
        if len(xs) == 1:
            return self.dot(xs[0], ys[0], kind)
        points = " ".join(f"{self.x(x)},{self.y(y)}" for x, y in zip(xs, ys, strict=True))
        return Markup('<polyline class="line {}" points="{}"/>').format(kind, points)

    def dot(self, x: float, y: float, kind: str, radius: float = 4) -> Markup:
        return Markup('<circle class="dot {}" cx="{}" cy="{}" r="{}"/>').format(kind, self.x(x), self.y(y), radius)

    def bar(self, x: float, low: float, high: float) -> Markup:
        """An upright line over a range, such as an interval."""
        return _rule("bar", self.x(x), self.y(low), self.x(x), self.y(high))


def _rule(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, x1, y1, x2, y2)


def text(x: float, y: float, words: object, kind: str = "", size: float | None = None, turned: bool = False) -> Markup:
    """Words at a place; `kind` is a class of `STYLE`, and `turned` words run upwards from it."""
    return Markup('<text{} x="{}" y="{}"{}{}>{}</text>').format(
        Markup(' class="{}"').format(kind) if kind else "", round(x, 1), round(y, 1),
        Markup(' style="font-size: {}px"').format(round(size, 1)) if size else "",
        Markup(' transform="rotate(-90 {} {})"').format(round(x, 1), round(y, 1)) if turned else "",
        printable(str(words)),
    )  # fmt: skip


def picture(image: np.ndarray, x: float, y: float, width: int, height: int) -> Markup:
    """A uint8 image (H, W) or (H, W, 3), pixel for pixel, enlarged without smoothing."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png", optimize=True)
    return Markup('<image href="data:image/png;base64,{}" x="{}" y="{}" width="{}" height="{}"/>').format(
        base64.b64encode(file.getvalue()).decode("ascii"), x, y, width, height
    )


def text_width(words: str, size: float) -> float:
    """About how many pixels a text takes, on the safe side: fonts differ.

    >>> text_width("x" * 3, size=10), text_width("日本", size=10)
    (19.5, 22.0)
    """
    return size * sum(1.1 if unicodedata.east_asian_width(letter) in "WF" else 0.65 for letter in words)


def shorten(words: str, length: int) -> str:
    """The text, cut to `length` characters.

    >>> shorten("Ankle boot", 20), shorten("Ankle boot", 6)
    ('Ankle boot', 'Ankle…')
    """
    return words if len(words) <= length else words[: length - 1].rstrip() + "…"
