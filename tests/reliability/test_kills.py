"""A training that is killed goes on to the same bits; many more: `python -m benchmarks reliability measure kills`."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from benchmarks.reliability import kills
from benchmarks.reliability._forks import Forks


@pytest.mark.parametrize(
    ("threads", "what", "name", "number"),
    [
        (1, "write half", ".checkpoint.pt.", 1),  # in the first checkpoint
        (1, "rename", ".draft-", 1),  # before the run's folder has its name
        (2, "write half", ".checkpoint.pt.", 3),  # in a later checkpoint
        (1, "open", ".history.csv.", 2),  # between a checkpoint and its history
        (2, "open", ".samples.npz.", 1),  # between the weights and their record
        (1, "write half", ".report.md.", 1),
    ],
)
def test_a_training_killed_in_a_write_ends_with_the_same_bits(
    threads: int, what: str, name: str, number: int, forks: Forks, wholes: dict[int, kills.Whole], tmp_path: Path
) -> None:
    whole = wholes[threads]
    steps = (at for at, step in enumerate(whole.steps, 1) if step[0] == what and step[1].startswith(name))
    ended = kills.kill_at(forks, tmp_path, whole, next(itertools.islice(steps, number - 1, None)))
    assert ended.code == -9, ended.output
    assert kills.differences(forks, tmp_path, whole) == []


def test_a_training_killed_from_outside_ends_with_the_same_bits(
    forks: Forks, wholes: dict[int, kills.Whole], tmp_path: Path
) -> None:
    ended = kills.kill_at_random(forks, tmp_path / "out", wholes[1], random.Random(7))
    assert ended.code == -9, ended.output
    assert kills.differences(forks, tmp_path / "out", wholes[1]) == []


def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_after(wholes: dict[int, kills.Whole]) -> None:
    """No test can cut the power; the order of the steps is what makes a file outlive it."""
    steps = wholes[1].steps
    names = [at for at, (what, name) in enumerate(steps) if what == "replace" and name.endswith(".draft")]
    assert len(names) > 10
    for at in names:
        draft = steps[at][1]
        assert steps[at - 3 : at] == [("write", draft), ("write half", draft), ("fsync", draft)]
        assert steps[at + 1][0] == "fsync" and not steps[at + 1][1].endswith(".draft")
