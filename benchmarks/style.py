"""How the pictures look: sizes in pixels, colours for every eye, text that is always drawn as it stands."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tinydigits.report.svg import shorten

__all__ = [
    "BLUE", "INK", "ORANGE", "QUIET", "RULE", "axes_at", "new_figure", "png_bytes", "write_text", "write_title",
]  # fmt: skip

DPI = 144  # so that a point is two pixels

# Two colours of Okabe and Ito's palette, which colour-blind readers tell apart (jfly.uni-koeln.de/color, 2008).
BLUE, ORANGE = "#0072B2", "#D55E00"
INK, QUIET, RULE, PAPER = "#1F2328", "#656D76", "#D8DEE4", "#FFFFFF"


def new_figure(width: int, height: int) -> Figure:
    """An empty figure of so many pixels; it stays outside pyplot, so nothing is left behind when it is dropped."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place given in pixels from the figure's upper left corner."""
    whole_width, whole_height = figure.get_size_inches() * DPI
    return figure.add_axes(
        (left / whole_width, 1 - (top + height) / whole_height, width / whole_width, height / whole_height)
    )


def write_text(
    figure: Figure,
    left: float,
    top: float,
    text: str,
    *,
    size: float = 8,
    color: str = INK,
    align: str = "left",
    weight: str = "normal",
    vertical: str = "baseline",
    rotation: float = 0,
) -> None:
    """Text at a place in pixels from the upper left corner, `size` in points; `$` and `_` are nothing special in it."""
    width, height = figure.get_size_inches() * DPI
    figure.text(
        left / width, 1 - top / height, text, fontsize=size, color=color, ha=align, va=vertical,
        fontweight=weight, rotation=rotation, rotation_mode="anchor", parse_math=False,
    )  # fmt: skip


def write_title(figure: Figure, left: float, title: str, subtitle: str) -> None:
    """A title and the line under it, cut where the figure ends."""
    room = figure.get_figwidth() * DPI - left
    write_text(figure, left, 48, shorten(title, int(room / text_width("x", 12))), size=12, weight="bold")
    write_text(figure, left, 80, shorten(subtitle, int(room / text_width("x", 8.5))), size=8.5, color=QUIET)


def text_width(text: str, size: float) -> float:
    """About how many pixels a text takes at so many points: two thirds of its size a letter, on the safe side.

    >>> text_width("x" * 3, size=12)
    48.0
    """
    return len(text) * size * 2 / 3 * DPI / 72


def png_bytes(figure: Figure, description: str | None = None) -> bytes:
    """The figure as a PNG, with a description inside if there is one; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    metadata = {"Software": None} | ({} if description is None else {"Description": description})
    figure.savefig(buffer, format="png", dpi=DPI, metadata=metadata)
    return buffer.getvalue()
