"""A small source of original files, and local mirrors that behave and misbehave like real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.reliability._mirrors import BAD_MIRRORS, LIMITS, Mirror, Mirrors, SmallSet, serving, small_set
from tinydigits.data import download


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test here sees the user's data or cache, or reaches beyond this machine."""
    monkeypatch.delenv("TINYDIGITS_DATA", raising=False)
    monkeypatch.setenv("TINYDIGITS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TINYDIGITS_MIRRORS", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def small() -> SmallSet:
    return small_set("small", seed=1)


@pytest.fixture
def other() -> SmallSet:
    """Another set with the same file names, of whose plain files no hash is known."""
    return small_set("other", seed=2, is_plain_known=False)


@pytest.fixture
def mirror(small: SmallSet) -> Iterator[Mirrors]:
    """Start a mirror of the small set: `mirror()` behaves, `mirror(behaviour)` does what it is told."""
    with serving(small) as start:
        yield start


@pytest.fixture(params=BAD_MIRRORS)
def bad_mirror(request: pytest.FixtureRequest, mirror: Mirrors, monkeypatch: pytest.MonkeyPatch) -> tuple[Mirror, str]:
    """Each kind of bad mirror, and a pattern of the reason that the user should read."""
    for name, seconds in LIMITS.items():
        monkeypatch.setattr(download, name, seconds)
    behaviour, reason = BAD_MIRRORS[request.param]
    return mirror(behaviour), reason
