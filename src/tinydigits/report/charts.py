"""What is drawn of runs: curves, confusion, calibration, parameters against accuracy, and sheets of small pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from markupsafe import Markup

from tinydigits.errors import printable
from tinydigits.figures import percent
from tinydigits.report.comparison import Comparison
from tinydigits.report.kept import Curves, Line
from tinydigits.report.scales import FINE_SHARES, accuracy_ticks, log_ticks, nines, round_ticks, size_ticks
from tinydigits.report.svg import Chart, Frame, picture, shorten, stack, text, text_width
from tinydigits.run import Mistakes
from tinydigits.stats import wilson_interval

__all__ = [
    "augmented_sheet", "confusion_chart", "curve_charts", "curves_chart", "filters_sheet", "frontier_chart",
    "mistakes_sheet", "reliability_chart",
]  # fmt: skip

_ROOM_BESIDE = 200  # for runs of the same size
_NUM_MISTAKES, _NUM_AUGMENTED, _NUM_FILTERS = 40, 60, 64


def curves_chart(title: str, note: str, curves: Curves) -> Chart:
    """Loss, accuracy and learning rate over a training, one below the other."""
    return stack(title, note, curve_charts(curves))


def curve_charts(curves: Curves) -> list[Chart]:
    """A chart each for loss, accuracy and learning rate, where there are any.

    The horizontal axis counts epochs, or images where there is one epoch only. Accuracy is spaced by its error, so that
    99.0 % and 99.9 % are as far apart as 90 % and 99 %: on a plain scale every good run is a flat line.
    """
    charts = []
    losses = [value for line in curves.loss for value in line.trend]
    if losses:
        low, high = min(losses), max(losses)
        if low > 0 and high / low > 8:
            ticks = log_ticks(low, high)
            charts.append(_lines("loss", curves, curves.loss, lambda value, _: math.log10(max(value, 1e-9)), ticks))
        else:
            ticks = [(tick, f"{tick:g}") for tick in round_ticks(min(0, low), high)]
            charts.append(_lines("loss", curves, curves.loss, lambda value, _: value, ticks))
    places = [nines(value, line.num_images) for line in curves.accuracy for value in line.trend]
    if places:
        low, high = min(places), max(places)
        whole = [line.num_images for line in curves.accuracy if 1.0 in line.trend]
        ticks = accuracy_ticks(low - 0.2, high, at_least=max(0.05, (high - low) / 6), whole=whole)
        name = "accuracy, spaced by its error"
        charts.append(
            _lines(name, curves, curves.accuracy, lambda value, line: nines(value, line.num_images), ticks, percent)
        )
    if curves.lr.values:
        ticks = [(tick, f"{tick:g}") for tick in round_ticks(0, max(curves.lr.values) or 1)]
        charts.append(_lines("learning rate", curves, [curves.lr], lambda value, _: value, ticks, None))
    return charts


def _three_digits(loss: float) -> str:
    return f"{loss:#.3g}" if loss >= 1e-3 else f"{loss:.1e}"


def _lines(
    name: str, curves: Curves, lines: Sequence[Line], place: Callable[[float, Line], float],
    ticks: Sequence[tuple[float, str]], words: Callable[[float], str] | None = _three_digits,
) -> Chart:  # fmt: skip
    """Each line named with its last value where it ends; a legend would have to be looked up."""
    lines = [line for line in lines if line.values]
    unit = curves.num_train if curves.end > curves.num_train else 1
    trends = [[place(value, line) for value in line.trend] for line in lines]
    values = [value for trend in trends for value in trend] + [tick for tick, _ in ticks]
    margin = 0.04 * ((max(values) - min(values)) or 1)
    frame = Frame(0, curves.end / unit, min(values) - margin, max(values) + margin)
    content, heights, labels = [], [], []
    for kind, line, trend in zip(("first", "second"), lines, trends, strict=False):
        seen = [images / unit for images in line.images_seen]
        if line.noisy:
            content.append(frame.path(seen, [place(value, line) for value in line.values], f"{kind} faint"))
        content.append(frame.path(seen, trend, kind))
        heights.append(frame.y(trend[-1]) + 4)
        labels.append((kind, line.name if words is None else f"{line.name} {words(line.trend[-1])}"))
    if len(heights) == 2 and abs(heights[0] - heights[1]) < 17:
        middle, way = sum(heights) / 2, 1 if heights[0] >= heights[1] else -1
        heights = [middle + way * 8.5, middle - way * 8.5]
    content += [
        text(frame.x(frame.x_high) + 10, height, label, f"end {kind}")
        for height, (kind, label) in zip(heights, labels, strict=True)
    ]
    note = f"{', '.join(label for _, label in labels)} at the end"
    x_ticks = [(tick, f"{tick:,.0f}") for tick in round_ticks(0, curves.end / unit, 8) if tick == round(tick)]
    x_name = "epoch" if unit > 1 else "images seen"
    return frame.chart(name, note, content, x_ticks=x_ticks, y_ticks=ticks, x_name=x_name, heading=name)


def reliability_chart(reliability: np.ndarray) -> Chart:
    """Share of right answers against the probability that was given, bin by bin, with Wilson intervals.

    `reliability` has images, right answers and the sum of probabilities (3, bins).
    """
    frame = Frame(0, 1, 0, 1, width=430, height=400, right=24, top=14)
    content = [frame.path([0, 1], [0, 1], "ideal")]
    whole = reliability[0].sum()
    for seen, right, total in reliability.T:
        if not seen:
            continue
        interval = wilson_interval(round(right), round(seen))
        words = f"{seen:,.0f} images: given {percent(total / seen)}, right {percent(right / seen)}"
        radius = round(3 + 6 * (seen / whole) ** 0.5, 1)
        content.append(
            _titled(
                words,
                frame.bar(total / seen, interval.low, interval.high),
                frame.dot(total / seen, right / seen, "first", radius),
            )
        )
    ticks = [(tick / 5, f"{20 * tick} %") for tick in range(6)]
    note = (
        "Share of right answers (with Wilson's interval) against the probability given; larger points are more images"
    )
    return frame.chart(
        "Calibration", note, content, x_ticks=ticks, y_ticks=ticks, x_name="probability given to the answer"
    )


def frontier_chart(comparison: Comparison, title: str = "Parameters against accuracy") -> Chart:
    """Parameters against accuracy, both logarithmic, the latter by its error; bars are Wilson's intervals.

    All right has no logarithm: it stands half an image above one mistake in the largest set.
    """
    placed, front, split = comparison.placed(), comparison.frontier(), str(comparison.split)
    most = max(entry.counts[split][1] for entry in placed)
    ends = {
        entry.number: [nines(end, most) for end in (interval.low, interval.high)]
        for entry in placed for interval in [wilson_interval(*entry.counts[split])]
    }  # fmt: skip
    places = {entry.number: nines(comparison.accuracy(entry), most) for entry in placed}
    sizes = {entry.number: math.log10(entry.record.num_parameters) for entry in placed}
    frame = Frame(
        min(sizes.values()) - 0.12, max(sizes.values()) + 0.12, min(low for low, _ in ends.values()) - 0.05,
        max(high for _, high in ends.values()) + 0.05, height=400, right=40,
    )  # fmt: skip
    per_pixel = (frame.x_high - frame.x_low) / (frame.width - frame.left - frame.right)
    content = []
    if len(front) > 1:
        content.append(
            frame.path([sizes[entry.number] for entry in front], [places[entry.number] for entry in front], "second")
        )
    for entry in placed:
        beside = [other for other in sizes if sizes[other] == sizes[entry.number]]
        apart = min(12, _ROOM_BESIDE / len(beside))
        size = sizes[entry.number] + per_pixel * apart * (beside.index(entry.number) - (len(beside) - 1) / 2)
        place, in_front = places[entry.number], entry in front
        words = f"{entry.number}: {entry.name}, {entry.record.num_parameters:,} parameters, "
        drawn = [
            frame.bar(size, *ends[entry.number]),
            frame.dot(size, place, "second" if in_front else "first", 7 if in_front else 5),
        ]
        if apart >= 8 or in_front:
            drawn.append(text(frame.x(size) + 9, frame.y(place) - 6, entry.number, "label"))
        content.append(_titled(words + percent(comparison.accuracy(entry)), *drawn))
    whole = [most] if any(comparison.accuracy(entry) == 1 for entry in placed) else []
    y_ticks = accuracy_ticks(
        frame.y_low, frame.y_high, at_least=(frame.y_high - frame.y_low) / 9, whole=whole, shares=FINE_SHARES
    )
    note = (
        f"{split} accuracy, spaced by its error; bars: Wilson's 95 % intervals; large points, joined: no smaller run "
        "matches them; runs of one size stand side by side"
    )
    x_ticks = size_ticks(frame.x_low, frame.x_high)
    heading = f"{split} accuracy"
    return frame.chart(title, note, content, x_ticks=x_ticks, y_ticks=y_ticks, x_name="parameters", heading=heading)


def confusion_chart(title: str, note: str, confusion_KK: np.ndarray, classes: Sequence[str]) -> Chart:
    """Counts by label (row) and answer (column), with each label's recall and each answer's precision.

    The diagonal has one quiet colour; the others go to dark by their own largest count, so a single mistake among ten
    thousand is seen. Works for any number of classes: with many, counts and then names give way to room.
    """
    num_classes, largest = len(confusion_KK), int(confusion_KK.max())
    cell = max(3, min(44, 720 // num_classes))
    matrix = cell * num_classes
    every = math.ceil(10 / cell)  # a name stands at every row, or at every second, third …
    size = min(12, 0.85 * cell * every)
    names = [shorten(" ".join(name.split()) or f"#{index}", 18) for index, name in enumerate(classes)]
    name_room = max(text_width(name, size) for name in names)
    are_flat = name_room <= 0.9 * cell
    rate_size = min(size, 11)
    rates_are_flat = text_width("100.00", rate_size) <= 0.96 * cell
    left, top = max(64 + name_room, 110), 40 + (size if are_flat else name_room)
    right, bottom = left + matrix, top + matrix
    rate_room = text_width("100.00", rate_size)
    parts = [
        text(left + matrix / 2, 14, "answer", "below"), text(24, top + matrix / 2, "label", "below", turned=True),
        text(right + 14, top - 10, "recall %"),
        text(left - 12, bottom + (18 if rates_are_flat else rate_size + 6), "precision %", "tick"),
    ]  # fmt: skip
    seen_K, answered_K, correct_K = confusion_KK.sum(1), confusion_KK.sum(0), np.diag(confusion_KK)
    for index in range(0, num_classes, every):
        row, column = top + (index + 0.5) * cell + 0.35 * size, left + (index + 0.5) * cell
        recall, precision = (_rate(correct_K[index], of_K[index]) for of_K in (seen_K, answered_K))
        parts += [text(left - 12, row, names[index], "before", size)]
        parts += [text(right + 14 + rate_room, row, recall, "tick", rate_size)]
        upright = column + 0.35 * size
        if are_flat:
            parts += [text(column, top - 10, names[index], "under", size)]
        else:
            parts += [text(upright, top - 10, names[index], "over", size, turned=True)]
        if rates_are_flat:
            parts += [text(column, bottom + 18, precision, "below", rate_size)]
        else:
            parts += [text(upright, bottom + 8, precision, "tick", rate_size, turned=True)]
    most = int((confusion_KK - np.diag(correct_K)).max())
    count_size = min(12.0, 0.9 * cell / text_width("0" * len(str(largest)), 1))
    for row, column in np.argwhere(confusion_KK > 0):
        count = int(confusion_KK[row, column])
        # Where there are only single mistakes they are clearly seen, and not dark.
        kind = "right" if row == column else "s3" if most == 1 else f"s{math.ceil(5 * count / most)}"
        x, y = left + column * cell, top + row * cell
        square = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(kind, x, y, cell, cell)
        kinds = "count" if row == column else f"count mistake {kind}"
        words = f"{names[row]} answered {names[column]}: {count:,}"
        drawn = [square] if count_size < 6 else [
            square, text(x + cell / 2, y + cell / 2 + 0.35 * count_size, count, kinds, count_size)
        ]  # fmt: skip
        parts.append(_titled(words, *drawn))
    lines = [edge * cell for edge in range(num_classes + 1)] if cell >= 10 else [0, matrix]
    edges = " ".join(f"M{left} {top + edge}h{matrix}M{left + edge} {top}v{matrix}" for edge in lines)
    parts.append(Markup('<path class="border" d="{}"/>').format(edges))
    height = bottom + (30 if rates_are_flat else rate_room + 24)
    return Chart(title, note, math.ceil(right + 24 + max(rate_room, 60)), math.ceil(height), Markup("").join(parts))


def _rate(right: int, of: int) -> str:
    return percent(right / of).removesuffix(" %") if of else "–"


def mistakes_sheet(title: str, note: str, mistakes: Mistakes, classes: Sequence[str]) -> Chart:
    """The worst mistakes: each image, its label → the answer, and how sure the model was of it."""
    shown = []
    answers = zip(mistakes.images_NHW, mistakes.labels_N, mistakes.predicted_N, mistakes.probability_N, strict=True)
    for image, label, predicted, probability in list(answers)[:_NUM_MISTAKES]:
        both = f"{classes[label]} → {classes[predicted]}"
        lines = [(both, "under strong")]
        if text_width(both, 12) > 88:
            lines = [(classes[label], "under"), (f"→ {classes[predicted]}", "under strong")]
        words = f"An image of {classes[label]} that was taken for {classes[predicted]}"
        shown.append((words, image, [*lines, (percent(float(probability)), "below")]))
    return _sheet(title, note, shown, columns=8, side=84)


def augmented_sheet(
    title: str, note: str, images_NHW: np.ndarray, labels_N: np.ndarray, classes: Sequence[str]
) -> Chart:
    """Training images as the model sees them, each over its label."""
    names = [classes[label] for label in labels_N[:_NUM_AUGMENTED]]
    shown = [(f"An image of {name}", image, [(name, "under")]) for image, name in zip(images_NHW, names, strict=False)]
    return _sheet(title, note, shown, columns=12, side=56)


def filters_sheet(title: str, note: str, filters: np.ndarray) -> Chart:
    """Each filter over its number: blue below zero, orange above, on the scale of the strongest weight.

    `filters` is (filters, channels, rows, columns); of several channels each is a picture of its own.
    """
    strongest = float(np.abs(filters).max(initial=0)) or 1.0
    below, zero, above = np.array([(0, 114, 178), (255, 255, 255), (213, 94, 0)])
    shown = []
    for number, channels in enumerate(filters):
        for channel, weight_HW in enumerate(channels):
            share_HW1 = (weight_HW / strongest)[..., None]
            colour_HW3 = zero + np.abs(share_HW1) * (np.where(share_HW1 < 0, below, above) - zero)
            name = f"{number}" if len(channels) == 1 else f"{number}.{channel}"
            shown.append((f"Filter {name}", colour_HW3.round().astype(np.uint8), [(name, "below")]))
    return _sheet(title, note, shown[:_NUM_FILTERS], columns=12, side=56)


_Pictures = Sequence[tuple[str, np.ndarray, Sequence[tuple[str, str]]]]
"""What each is in words, the image, and the lines under it with their classes."""


def _sheet(title: str, note: str, shown: _Pictures, *, columns: int, side: int) -> Chart:
    """Pictures in rows, with lines of text under each."""
    cell, row_height = side + 12, side + 16 * max((len(lines) for *_, lines in shown), default=1) + 14
    parts = []
    for number, (words, image, lines) in enumerate(shown):
        row, column = divmod(number, columns)
        x, y, scale = 24 + column * cell, row * row_height, side / max(image.shape[:2])
        height, width = (round(scale * length) for length in image.shape[:2])
        drawn = [picture(image, x + (side - width) / 2, y, width, height)]
        drawn += [
            text(x + side / 2, y + side + 15 + 16 * index, shorten(line, int(cell / text_width("x", 12))), kind)
            for index, (line, kind) in enumerate(lines)
        ]
        parts.append(_titled(words, *drawn))
    num_rows = math.ceil(len(shown) / columns)
    return Chart(title, note, 48 + columns * cell - 12, num_rows * row_height, Markup("").join(parts))


def _titled(words: str, *drawn: Markup) -> Markup:
    return Markup("<g><title>{}</title>{}</g>").format(printable(words), Markup("").join(drawn))
