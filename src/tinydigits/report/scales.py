"""Where values stand on the axes of a picture: accuracy spaced by its error, sizes and losses by their logarithm."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinydigits.figures import percent

__all__ = ["FINE_SHARES", "SHARES", "accuracy_ticks", "log_ticks", "nines", "round_ticks", "size_ticks", "spread"]

SHARES = (0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.997, 0.998, 0.999, 0.9995, 0.9999, 0.99999)
FINE_SHARES = (*SHARES, 0.975, 0.985, 0.992, 0.994, 0.996)


def nines(accuracy: float, num_images: int) -> float:
    """Where an accuracy stands: 0.9 at 1, 0.99 at 2; all right at half a mistake.

    >>> round(nines(0.99, 100), 6), round(nines(1.0, 500), 6)
    (2.0, 3.0)
    """
    return -math.log10(max(1 - accuracy, 0.5 / num_images))


def accuracy_ticks(
    low: float, high: float, *, at_least: float, whole: Sequence[int] = (), shares: Sequence[float] = SHARES
) -> list[tuple[float, str]]:
    """Round shares between two places of `nines`, so far apart at least, with their names.

    All right stands among them for each of the numbers of images in `whole`, and no other share above it.

    >>> [name for _, name in accuracy_ticks(1, 3, at_least=0.2, whole=[200])]
    ['100 %', '99.5 %', '99 %', '98 %', '95 %', '90 %']
    """
    tops = {nines(1.0, num_images): percent(1, trim=True) for num_images in whole}
    high = min([high, *(place - at_least for place in tops)])
    within = {
        place: percent(share, trim=True) for share in shares if low <= (place := nines(share, 10**9)) <= high
    } | tops
    return [(place, within[place]) for place in spread(sorted(within, reverse=True), at_least)]


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Where the ticks of a logarithmic scale stand, as powers of ten, and their names."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if math.log10(high / low) < 1.6 else (1, 3) if math.log10(high / low) < 3.2 else (1,)
    values = [factor * 10.0**decade for decade in decades for factor in factors]
    return [(math.log10(value), f"{value:g}") for value in values if low / 1.2 <= value <= high * 1.2]


def size_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers of parameters between two powers of ten, with their names.

    >>> [name for _, name in size_ticks(2.9, 4.1)]
    ['1,000', '2,000', '5,000', '10,000']
    """
    sizes = [factor * 10**decade for decade in range(1, 9) for factor in (1, 2, 5)]
    if high - low < 0.8:
        sizes = [round(size) for size in round_ticks(10**low, 10**high)]
    return [(math.log10(size), f"{size:,}") for size in sizes if low <= math.log10(size) <= high]


def round_ticks(low: float, high: float, number: int = 5) -> list[float]:
    """Round values within a range.

    >>> round_ticks(0, 17)
    [0, 5, 10, 15]
    """
    step = 10 ** math.floor(math.log10(max(high - low, 1e-12) / number))
    step = next(step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= number)
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def spread(places: Sequence[float], at_least: float) -> list[float]:
    """Those of the places, taken in order, that keep their distance from the last one taken."""
    taken: list[float] = []
    for place in places:
        if not taken or abs(taken[-1] - place) >= at_least:
            taken.append(place)
    return taken
