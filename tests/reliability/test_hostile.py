"""A stranger's file is refused with one message: nothing is run, nothing is written, and memory stays bounded."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from benchmarks.reliability import hostile
from benchmarks.reliability._forks import Forks
from benchmarks.reliability._hostile_files import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_a_hostile_file_is_refused(case: Case, forks: Forks, tmp_path: Path) -> None:
    assert hostile.put(forks, tmp_path / "case", case)[0] == []


@pytest.mark.parametrize("mode", ["RGBA", "I;16"])
def test_a_large_picture_is_read_in_bounded_memory(mode: str, forks: Forks, tmp_path: Path) -> None:
    assert hostile.put_large(forks, tmp_path, mode, 16_000_000)[0] == []


def test_the_corpus_is_large_and_would_do_harm(tmp_path: Path) -> None:
    assert len(CASES) >= 100
    canary = tmp_path / "canary"
    make = next(make for name, _, make in CASES if name.startswith("a plain pickle"))
    make(tmp_path, canary)
    pickle.loads((tmp_path / "w.pt").read_bytes())
    assert canary.exists()
