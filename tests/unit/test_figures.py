"""Figures in words at their edges: nothing is called all, none or certain unless it is."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinydigits import figures
from tinydigits.machine import machine_words
from tinydigits.stats import Interval

WHOLE = {"0", "0.0", "0.00", "0.000", "100", "100.0", "100.00", "100.000"}


@given(st.integers(1, 10**9).flatmap(lambda seen: st.tuples(st.integers(0, seen), st.just(seen))), st.integers(0, 3))
def test_a_share_is_called_all_or_nothing_only_where_it_is(count: tuple[int, int], decimals: int) -> None:
    correct, seen = count
    for trim in (False, True):
        words = figures.percent(correct / seen, decimals, trim=trim)
        assert words.endswith(" %")
        number = float(words.removesuffix(" %"))
        assert (number == 100) == (correct == seen) and (number == 0) == (correct == 0)
        assert number == pytest.approx(100 * correct / seen, abs=0.51 * 10**-decimals)
        assert (words.removesuffix(" %") in WHOLE) == (correct in (0, seen))


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (59_999 / 60_000, "99.998 %"), (1 / 60_000, "0.002 %"), (1.0, "100.00 %"), (0.0, "0.00 %"), (0.9999, "99.99 %"),
        (math.nextafter(1, 0), "99.99999999999999 %"), (1e-12, "1e-10 %"), (0.12345, "12.35 %"), (math.nan, "nan %"),
    ],
)  # fmt: skip
def test_a_share_has_two_decimals_and_more_only_at_the_edges(share: float, words: str) -> None:
    assert figures.percent(share) == words


@given(st.integers(-(10**9), 10**9))
def test_a_difference_is_zero_only_where_it_is(num_images: int) -> None:
    words = figures.points(num_images / 10**9)
    assert figures.points(num_images * 1e-22) == "+0.00"  # what is left of sums in floats
    assert (float(words) == 0) == (num_images == 0) and words.startswith("-" if num_images < 0 else "+")


@given(st.floats(0, 1))
def test_a_p_value_looks_certain_or_like_the_limit_only_where_it_is(p: float) -> None:
    words = figures.p_value(p)
    if not words.startswith("under"):
        assert float(words) == pytest.approx(p, rel=0.1) or abs(float(words) - p) <= 0.00051
        assert (float(words) < 0.05) == (p < 0.05) or float(words) == p
        assert (float(words) == 1) == (p == 1) and float(words) > 0
    else:
        assert p < 1e-300


def test_intervals_and_spreads_follow() -> None:
    assert figures.interval(Interval(0.00001, 59_999 / 60_000)) == "0.001 to 99.998 %"
    assert figures.interval(Interval(-0.1, 1.1)) == "0.00 to 100.00 %"
    assert figures.points_interval(Interval(-0.00001, 0.0)) == "-0.001 to +0.00"
    assert figures.spread([1.0, 59_999 / 60_000], 2) == "99.999 ± 0.001 %"
    assert figures.spread([1.0, 1.0]) == "100.000 ± 0.000 %"


def test_a_machine_is_described_in_one_way_whatever_is_known_of_it() -> None:
    machine = {"processor": "EPYC", "num_cores": 1, "system": "Linux x86_64", "memory_bytes": 1, "instructions": []}
    assert machine_words(machine, "cuda", 2) == "EPYC, 1 core, Linux x86_64; cuda, 2 threads"
    assert machine_words({"processor": ""}, threads=1) == "an unknown processor; 1 thread"
    assert machine_words({}) == "an unknown processor"
