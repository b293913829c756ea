"""Commands that start at once, and the training that nothing disturbed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.reliability import kills
from benchmarks.reliability._forks import Forks


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


@pytest.fixture(scope="session")
def wholes(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> dict[int, kills.Whole]:
    """The uninterrupted training on one thread and on two."""
    return {threads: kills.train_whole(forks, tmp_path_factory.mktemp("whole"), threads) for threads in (1, 2)}
