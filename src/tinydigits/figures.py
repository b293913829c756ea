"""Figures in words, each kind in one way: shares, differences, p-values, counts, times, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinydigits.stats import Interval

__all__ = [
    "count_of", "duration", "interval", "megabytes", "p_value", "percent", "points", "points_interval", "setting",
    "spread",
]  # fmt: skip


def percent(share: float, decimals: int = 2, *, trim: bool = False) -> str:
    """A share of 1 in per cent; with more decimals where these would call it all or nothing, though it is not.

    >>> percent(0.9942), percent(1), percent(59_999 / 60_000), percent(1 / 60_000)
    ('99.42 %', '100.00 %', '99.998 %', '0.002 %')
    >>> percent(0.95, trim=True), percent(0.99996, 0), percent(1e-30)
    ('95 %', '99.996 %', '1e-28 %')
    """
    words = _rounded(100 * share, decimals, {0.0, 100.0})
    return f"{words.rstrip('0').rstrip('.') if trim and '.' in words else words} %"


def points(difference: float, decimals: int = 2) -> str:
    """A difference of two shares in points, with its sign; zero only where it is none.

    >>> points(0.0125), points(-1 / 60_000), points(0.0)
    ('+1.25', '-0.002', '+0.00')
    """
    # A mean of differences that cancel is a hair off zero, and no set is so large.
    return _rounded(round(100 * difference, 10) + 0.0, decimals, {0.0}, "+")


def points_interval(ends: Interval, decimals: int = 2) -> str:
    """The ends of an interval of differences, in points.

    >>> from tinydigits.stats import Interval
    >>> points_interval(Interval(-0.001, 0.002))
    '-0.10 to +0.20'
    """
    return f"{points(ends.low, decimals)} to {points(ends.high, decimals)}"


def interval(ends: Interval, decimals: int = 2) -> str:
    """The ends of an interval of shares, in per cent.

    >>> from tinydigits.stats import Interval
    >>> interval(Interval(0.98, 1.002)), interval(Interval(0.98, 0.99999))
    ('98.00 to 100.00 %', '98.00 to 99.999 %')
    """
    return f"{percent(max(0.0, ends.low), decimals).removesuffix(' %')} to {percent(min(1.0, ends.high), decimals)}"


def spread(shares: Sequence[float], decimals: int = 3) -> str:
    """Mean and standard deviation of shares of 1, in per cent; of one share, itself.

    >>> spread([0.994, 0.995, 0.996]), spread([0.994])
    ('99.500 ± 0.100 %', '99.400 %')
    """
    from tinydigits.stats import mean_and_sd

    mean, sd = mean_and_sd(shares)
    words = percent(mean, decimals)
    return f"{words.removesuffix(' %')} ± {percent(sd, decimals)}" if len(shares) > 1 else words


def p_value(p: float) -> str:
    """A p-value for people; it looks like 1 or 0.05 only where it is.

    >>> p_value(0.0312), p_value(1.0), p_value(0.99996), p_value(0.04996), p_value(2.4e-8), p_value(0.0)
    ('0.031', '1.000', '0.99996', '0.04996', '2.4e-08', 'under 1e-300')
    """
    if p < 0.001:
        return f"{p:.1e}" if p else "under 1e-300"  # less than a float can hold
    return _rounded(p, 3, {0.05, 1.0})


def _rounded(value: float, decimals: int, marks: set[float], sign: str = "") -> str:
    """The value with so many decimals, and more where it would look like one of the marks, but is not."""
    words = f"{value:{sign}.{decimals}f}"
    while value not in marks and float(words) in marks:
        decimals += 1
        words = f"{value:{sign}.{decimals}f}" if decimals < 10 or abs(value) > 1e-9 else f"{value:{sign}.0e}"
    return words


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(0.42), duration(15.83), duration(754), duration(7265)
    ('0.4 s', '15.8 s', '12 min 34 s', '2 h 01 min')
    """
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def megabytes(num_bytes: int) -> str:
    """Bytes as megabytes of 10⁶.

    >>> megabytes(465_915_904)
    '466 MB'
    """
    return f"{num_bytes / 1e6:,.0f} MB"


def count_of(number: int, noun: str) -> str:
    """A number and what it counts.

    >>> count_of(1, "epoch"), count_of(2_000, "epoch")
    ('1 epoch', '2,000 epochs')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def setting(value: object) -> str:
    """A setting's value for people: what a search has drawn in four digits.

    >>> setting(0.013427384782), setting((0.85, 0.95)), setting("adam"), setting(None)
    ('0.01343', '[0.85, 0.95]', 'adam', '')
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(setting(inner) for inner in value)}]"
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
