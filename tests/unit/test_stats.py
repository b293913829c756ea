"""Intervals against scipy and by simulation."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest, t

from tinydigits.stats import (
    images_to_decide,
    mcnemar,
    mean_and_sd,
    mean_interval,
    paired_interval,
    seeds_to_decide,
    wilson_interval,
)


@pytest.mark.parametrize(("correct", "seen"), [(0, 10), (10, 10), (1, 3), (9_940, 10_000), (584, 596)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_interval_is_scipys(correct: int, seen: int, confidence: float) -> None:
    expected = binomtest(correct, seen).proportion_ci(confidence, method="wilson")
    found = wilson_interval(correct, seen, confidence)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("correct", "seen"), [(11, 10), (-1, 10), (0, 0)])
def test_impossible_counts_are_refused(correct: int, seen: int) -> None:
    with pytest.raises(ValueError, match="0 <= correct <= seen"):
        wilson_interval(correct, seen)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"0\.95"):
        wilson_interval(1, 2, confidence)


@pytest.mark.parametrize(("correct", "limit"), [(9_950, 0.994), (9_930, 0.994), (180, 0.89)])
def test_images_to_decide_is_where_the_interval_leaves_the_limit(correct: int, limit: float) -> None:
    seen = 10_000 if correct > 1_000 else 200
    needed = images_to_decide(correct, seen, limit)
    assert needed is not None
    assert limit in wilson_interval(round(correct / seen * needed * 0.8), round(needed * 0.8))
    assert limit not in wilson_interval(round(correct / seen * needed * 1.25), round(needed * 1.25))


def test_no_number_of_images_decides_at_the_limit_itself() -> None:
    assert images_to_decide(994, 1_000, 0.994) is None


def test_mean_interval_is_students() -> None:
    values = [99.41, 99.52, 99.38, 99.47]
    mean, sd = mean_and_sd(values)
    low, high = t.interval(0.9, 3, loc=mean, scale=sd / 2)
    found = mean_interval(values, 0.9)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_seeds_to_decide_is_the_first_number_whose_interval_leaves_the_limit() -> None:
    values = [99.41, 99.52, 99.38, 99.47]
    needed = seeds_to_decide(values, 99.40)
    assert needed is not None
    mean, sd = mean_and_sd(values)

    def low(num_seeds: int) -> float:
        return float(t.interval(0.95, num_seeds - 1, loc=mean, scale=sd / math.sqrt(num_seeds))[0])

    assert low(needed) > 99.40 >= low(needed - 1)
    assert seeds_to_decide([99.3, 99.5], (99.3 + 99.5) / 2) is None


@pytest.mark.parametrize(("won", "lost"), [(5, 20), (20, 5), (0, 7), (9, 9), (1, 0), (40, 55)])
def test_mcnemar_is_the_exact_binomial_and_agrees_with_its_interval(won: int, lost: int) -> None:
    test = binomtest(won, won + lost)
    assert mcnemar(won, lost) == pytest.approx(test.pvalue)
    exact = test.proportion_ci(0.9, method="exact")
    found = paired_interval(won, lost, seen=500, confidence=0.9)
    scale = (won + lost) / 500
    assert (found.low, found.high) == pytest.approx(((2 * exact.low - 1) * scale, (2 * exact.high - 1) * scale))
    assert (0 not in found) == (mcnemar(won, lost) < 0.1)


def test_one_value_has_no_spread() -> None:
    assert math.isnan(mean_and_sd([1.0])[1])
    with pytest.raises(ValueError, match="at least two"):
        mean_interval([1.0])
    with pytest.raises(ValueError, match="no values"):
        mean_and_sd([])
