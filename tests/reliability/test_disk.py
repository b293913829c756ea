"""A disk that fails ends a training with one clear message and costs nothing that was written before.

`python -m benchmarks reliability measure disk` lets every write fail, with each error.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability import NotInjected, disk, kills
from benchmarks.reliability._forks import Forks
from benchmarks.reliability._writes import Fault


def first(whole: kills.Whole, what: str, name: str) -> int:
    return next(at for at, step in enumerate(whole.steps, 1) if step[0] == what and step[1].startswith(name))


@pytest.mark.parametrize(
    ("fault", "what", "name"),
    [
        ("read-only", "mkdir", ".draft-"),
        ("disk full", "write half", ".checkpoint.pt."),
        ("disk full", "rename", ".draft-"),
        ("input/output error", "fsync", ".history.csv."),
        ("disk full", "write", ".weights.safetensors."),
        ("disk full", "write half", ".report.md."),
    ],
)
def test_a_write_that_fails_is_told_and_the_training_goes_on_afterwards(
    fault: Fault, what: str, name: str, forks: Forks, wholes: dict[int, kills.Whole], tmp_path: Path
) -> None:
    assert disk.fail_at(forks, tmp_path / "out", wholes[1], first(wholes[1], what, name), fault) == []


def test_without_the_link_to_the_latest_run_there_is_a_run_all_the_same(
    forks: Forks, wholes: dict[int, kills.Whole], tmp_path: Path
) -> None:
    at = first(wholes[1], "symlink", ".latest")
    writes = kills.Writes(tmp_path, at=at, fault="read-only")
    ended = forks.run(kills.command(tmp_path, 1), writes=writes, settings=kills.OFTEN)
    assert ended.code == 0, ended.output
    assert kills.differences(forks, tmp_path, wholes[1]) == []
    assert disk.leftovers(tmp_path) == []


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_folder_that_can_only_be_read_is_told_and_left_alone(
    is_begun: bool, forks: Forks, wholes: dict[int, kills.Whole], tmp_path: Path
) -> None:
    try:
        assert disk.only_read(forks, tmp_path / "out", wholes[1], is_begun) == []
    except NotInjected:  # without leave to mount, the first write is made to fail
        assert disk.fail_at(forks, tmp_path / "other", wholes[1], 1, "read-only") == []


def test_the_kernels_own_limit_is_told(tmp_path: Path) -> None:
    assert disk.fill_file(tmp_path / "out", 40_000) == []


def test_a_clock_that_jumps_back_changes_times_alone(
    forks: Forks, wholes: dict[int, kills.Whole], tmp_path: Path
) -> None:
    assert disk.jump(forks, tmp_path / "out", wholes[1], -86_400.0) == []
