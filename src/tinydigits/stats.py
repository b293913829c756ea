"""Intervals and averages: how sure a figure is. Two uncertainties are kept apart, the test set's and the seeds'.

`wilson_interval` is for one accuracy on one test set (a count out of a count); `mean_and_sd` and `mean_interval` are
for the same figure from several seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Interval", "adjust_holm", "images_to_decide", "mcnemar", "mean_and_sd", "mean_interval", "paired_interval",
    "reliability_bins", "seeds_to_decide", "shortfall", "wilson_interval",
]  # fmt: skip


@dataclass(frozen=True)
class Interval:
    """A range from `low` to `high` that holds the true value with the asked confidence.

    >>> 0.5 in Interval(0.4, 0.6), 0.7 in Interval(0.4, 0.6)
    (True, False)
    """

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def wilson_interval(correct: int, seen: int, confidence: float = 0.95) -> Interval:
    """The two-sided Wilson score interval of a proportion, as a fraction of 1.

    >>> interval = wilson_interval(correct=9_940, seen=10_000)
    >>> f"{interval.low:.4f} to {interval.high:.4f}"
    '0.9923 to 0.9953'

    It stays within 0 and 1 and holds near them, where the textbook interval p ± z·sd does not:

    >>> wilson_interval(10, 10).high, round(wilson_interval(10, 10).low, 3)
    (1.0, 0.722)

    Raises ValueError unless 0 ≤ correct ≤ seen, seen > 0 and 0 < confidence < 1.
    Source: E. B. Wilson, Probable inference, JASA 22 (1927).
    """
    if not (0 <= correct <= seen and seen > 0):
        raise ValueError(f"got {correct} correct of {seen}, expected 0 <= correct <= seen")
    z = _z(confidence)
    proportion = correct / seen
    scale = 1 + z * z / seen
    centre = (proportion + z * z / (2 * seen)) / scale
    half = z / scale * math.sqrt(proportion * (1 - proportion) / seen + z * z / (4 * seen * seen))
    # At 0 and at all correct the bound is exact; rounding must not push it past.
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == seen else min(1.0, centre + half)
    return Interval(low, high)


def images_to_decide(correct: int, seen: int, limit: float, confidence: float = 0.95) -> int | None:
    """How many images would decide, at the proportion seen so far, whether it is above or below `limit`.

    >>> images_to_decide(correct=9_950, seen=10_000, limit=0.994)
    22911

    None when the proportion is the limit itself: then no number decides.
    """
    proportion = correct / seen
    if proportion == limit:
        return None
    # The Wilson bound meets the limit where |p - limit| = z * sqrt(limit (1 - limit) / n).
    images = _z(confidence) ** 2 * limit * (1 - limit) / (proportion - limit) ** 2
    return max(1, math.ceil(images))


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the sample standard deviation (n - 1); the deviation of a single value is NaN, not 0.

    >>> mean_and_sd([99.4, 99.5, 99.6])
    (99.5, 0.09999999999999432)
    >>> mean_and_sd([99.4])
    (99.4, nan)
    """
    if not values:
        raise ValueError("got no values, expected at least one")
    return fmean(values), stdev(values) if len(values) > 1 else math.nan


def shortfall(mean: float, limit: float) -> float:
    """What a mean of shares is short of `limit`: 0 or less where it has reached it. Both are fractions of 1.

    >>> shortfall(mean=0.9974, limit=0.9975), shortfall(mean=0.9976, limit=0.9975)
    (0.0001, -0.0001)

    A mean of floats can come out a hair below the share that its counts make, which is no image short:

    >>> mean, _ = mean_and_sd([0.9972, 0.9976, 0.9976, 0.9973, 0.9978])
    >>> mean < 0.9975, shortfall(mean, 0.9975)
    (True, 0.0)
    """
    # One image of 10,000, in the mean of 10,000 seeds, is 1e-8; a float's rounding is 1e-16.
    return round(limit - mean, 9)


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Student's interval of the mean of a few values, such as the accuracies of several seeds.

    >>> interval = mean_interval([99.4, 99.5, 99.6])
    >>> f"{interval.low:.2f} to {interval.high:.2f}"
    '99.25 to 99.75'

    Raises ValueError for fewer than two values: one value says nothing about spread.
    """
    if len(values) < 2:
        raise ValueError(f"got {len(values)} value(s), expected at least two")
    _z(confidence)
    from scipy.special import stdtrit  # a third of scipy.stats' import time

    mean, sd = mean_and_sd(values)
    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * sd / math.sqrt(len(values))
    return Interval(mean - half, mean + half)


def seeds_to_decide(values: Sequence[float], limit: float, confidence: float = 0.95) -> int | None:
    """How many seeds would decide, at the mean and spread seen so far, whether the mean is above or below `limit`.

    >>> seeds_to_decide([99.4, 99.5, 99.6], limit=99.4)
    7

    None when the mean is the limit itself, or when more than 10,000 would be needed.
    """
    from scipy.special import stdtrit

    mean, sd = mean_and_sd(values)
    for num_seeds in range(2, 10_001):
        half = float(stdtrit(num_seeds - 1, (1 + confidence) / 2)) * sd / math.sqrt(num_seeds)
        if half < abs(mean - limit):
            return num_seeds
    return None


def mcnemar(won: int, lost: int) -> float:
    """The exact two-sided p-value of McNemar's test: two classifiers on the same images.

    >>> f"{mcnemar(won=5, lost=20):.4f}", mcnemar(won=0, lost=0)
    ('0.0041', 1.0)

    `won` images only the first gets right, `lost` only the second; where both are equally good these fall like coins.
    Source: Q. McNemar, Psychometrika 12 (1947); the exact binomial in place of its chi-squared approximation.
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5))) if won + lost else 1.0


def paired_interval(won: int, lost: int, seen: int, confidence: float = 0.95) -> Interval:
    """An interval of the difference of two accuracies on the same images, as a fraction of 1; it agrees with `mcnemar`.

    >>> interval = paired_interval(won=5, lost=20, seen=1_000)
    >>> f"{interval.low:.4f} to {interval.high:.4f}"
    '-0.0216 to -0.0046'

    Given the images on which they differ, the share that the first wins is binomial, with the exact interval of Clopper
    and Pearson (Biometrika 26, 1934). Without any such image the answers are equally good, and the interval is a point.
    """
    _z(confidence)  # raises for what is none
    from scipy.special import betaincinv

    differing, tail = won + lost, (1 - confidence) / 2
    if not differing:
        return Interval(0.0, 0.0)
    low = float(betaincinv(won, lost + 1, tail)) if won else 0.0
    high = float(betaincinv(won + 1, lost, 1 - tail)) if lost else 1.0
    return Interval((2 * low - 1) * differing / seen, (2 * high - 1) * differing / seen)


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests, raised so that any of them misleads by chance as seldom as a single one would.

    >>> [round(p, 3) for p in adjust_holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6 (1979).
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def reliability_bins(probability_N: np.ndarray, right_N: np.ndarray, bins: int = 15) -> np.ndarray:
    """Images, right answers and the sum of probabilities (3, bins) in equally wide bins of the answer's probability.

    >>> import numpy as np
    >>> reliability_bins(np.array([0.9, 0.75]), np.array([True, False]), bins=2).tolist()
    [[0.0, 2.0], [0.0, 1.0], [0.0, 1.65]]

    A well calibrated model has as many right answers in a bin as its probabilities add up to.
    """
    import numpy as np

    bin_N = np.minimum((probability_N * bins).astype(np.int64), bins - 1)
    return np.stack([np.bincount(bin_N, weights, bins) for weights in (np.ones(len(bin_N)), right_N, probability_N)])


def _z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence}, expected between 0 and 1, such as 0.95")
    return NormalDist().inv_cdf((1 + confidence) / 2)
