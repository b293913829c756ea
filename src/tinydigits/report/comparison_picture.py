"""Parameters against accuracy of several runs, as a picture for their Markdown page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from tinydigits.report.comparison import Comparison, Entry
from tinydigits.report.scales import FINE_SHARES, accuracy_ticks, nines, size_ticks
from tinydigits.report.style import BLUE, INK, ORANGE, QUIET, RULE, axes_at, new_figure, write_text, write_title
from tinydigits.stats import wilson_interval

__all__ = ["draw_comparison"]

_WIDTH, _HEIGHT, _LEFT, _TOP = 1280, 820, 150, 130


def draw_comparison(comparison: Comparison, title: str) -> Figure:
    """Both axes logarithmic, accuracy by its error; numbers are the runs' own, bars Wilson's intervals.

    Large orange points, joined, are the runs that no smaller one matches; runs of the same size stand side by side. All
    right has no logarithm: it stands half an image above one mistake in the largest set.
    """
    figure, split = new_figure(_WIDTH, _HEIGHT), str(comparison.split)
    write_title(
        figure, _LEFT, title,
        f"{split} accuracy; bars: 95 % intervals; orange: no smaller run matches it; one size side by side",
    )  # fmt: skip
    axes = axes_at(figure, _LEFT, _TOP, _WIDTH - _LEFT - 60, _HEIGHT - _TOP - 110)
    placed, front = comparison.placed(), comparison.frontier()
    most = max(entry.counts[split][1] for entry in placed)
    sizes = {entry.number: _place(entry, placed) for entry in placed}
    places = {entry.number: nines(comparison.accuracy(entry), most) for entry in placed}
    joined = [entry.number for entry in front]
    axes.plot([sizes[n] for n in joined], [places[n] for n in joined], "--", color=ORANGE, linewidth=1.5)
    ends = []
    for entry in placed:
        interval, number = wilson_interval(*entry.counts[split]), entry.number
        low, high = nines(interval.low, most), nines(interval.high, most)
        ends += [low, high]
        axes.plot([sizes[number]] * 2, [low, high], color=QUIET, linewidth=1, zorder=1)
        axes.plot(
            sizes[number], places[number], "o", color=ORANGE if entry in front else BLUE,
            markersize=9 if entry in front else 6,
        )  # fmt: skip
        axes.annotate(
            str(number), (sizes[number], places[number]), xytext=(6, 5), textcoords="offset points", fontsize=8,
            color=INK, fontweight="bold",
        )  # fmt: skip
    axes.set_xlim(min(sizes.values()) - 0.12, max(sizes.values()) + 0.12)
    axes.set_ylim(min(ends) - 0.05, max(ends) + 0.05)
    low, high = axes.get_ylim()
    whole = [most] if any(comparison.accuracy(entry) == 1 for entry in placed) else []
    y_ticks = accuracy_ticks(low, high, at_least=(high - low) / 9, whole=whole, shares=FINE_SHARES)
    axes.set_yticks([place for place, _ in y_ticks], [name for _, name in y_ticks])
    x_ticks = size_ticks(*axes.get_xlim())
    axes.set_xticks([place for place, _ in x_ticks], [name for _, name in x_ticks])
    axes.tick_params(labelsize=8, color=RULE, labelcolor=QUIET)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    write_text(figure, _LEFT, _HEIGHT - 30, "parameters", color=QUIET)
    return figure


def _place(entry: Entry, placed: Sequence[Entry]) -> float:
    """The logarithm of a run's size, moved a little where others have the same."""
    beside = [other.number for other in placed if other.record.num_parameters == entry.record.num_parameters]
    apart = min(0.008, 0.12 / len(beside))
    return math.log10(entry.record.num_parameters) + apart * (beside.index(entry.number) - (len(beside) - 1) / 2)
