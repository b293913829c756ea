"""A cache that cannot be written is told of and costs nothing; the benchmark `reliability measure mirrors` tries more.

What mirrors do is in `tests/unit/data/test_download.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.reliability import NotInjected, mirrors
from benchmarks.reliability._mirrors import serving, small_set
from benchmarks.reliability._writes import Fault


@pytest.fixture
def place(tmp_path: Path) -> Iterator[mirrors.Place]:
    small = small_set("small", seed=1)
    with serving(small) as start:
        yield mirrors.Place(tmp_path / "cache", small, start)


@pytest.mark.parametrize("fault", mirrors.FAULTS)
def test_a_write_into_the_cache_that_fails_is_told_and_done_again(fault: Fault, place: mirrors.Place) -> None:
    assert list(mirrors.disk_faults(lambda: place, fault, 4)) == 4 * [[]]


def test_a_disk_without_room_for_the_cache(place: mirrors.Place) -> None:
    try:
        assert mirrors.fill_disk(place, 4_096) == []
    except NotInjected:  # without leave to mount one, every write is made to fail
        place.cache.rmdir()
        assert not any(mirrors.disk_faults(lambda: place, "disk full", None))


@pytest.mark.parametrize("is_whole", [False, True])
def test_a_cache_that_can_only_be_read(is_whole: bool, place: mirrors.Place) -> None:
    try:
        assert mirrors.read_only_cache(place, is_whole) == []
    except NotInjected:
        assert not any(mirrors.disk_faults(lambda: place, "read-only", None))


def test_damage_would_show(place: mirrors.Place) -> None:
    assert place.damage_of(place.start()) == []
    damaged = place.cache / "data" / "small" / "train-labels-idx1-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert place.damage_of_cache() == ["another train-labels-idx1-ubyte.gz"]
    damaged.unlink()
    assert place.damage_of_cache() == ["train-labels-idx1-ubyte.gz in the cache"]
