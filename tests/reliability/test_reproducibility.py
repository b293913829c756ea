"""Same recipe, seed, machine and threads: the same bits, for each recipe that comes with the package."""

from __future__ import annotations

import pytest

from benchmarks.reliability.reproducibility import BATCHES, THREADS, Trained, train_twice
from tests.conftest import Mnist
from tinydigits import recipe


@pytest.fixture(scope="module")
def trained(mnist: Mnist) -> dict[int, list[Trained]]:
    """By threads: what two processes made of each recipe."""
    return {threads: train_twice(recipe.names(), threads) for threads in THREADS}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_gives_the_same_bits_again(name: str, threads: int, trained: dict[int, list[Trained]]) -> None:
    one, other = (process[name] for process in trained[threads])
    assert len(one["losses"]) == BATCHES and one["losses"] == other["losses"]
    assert any(path.startswith("/model/") for path in one["checkpoint"])
    assert any(path.startswith("/optimizer/state/0/") for path in one["checkpoint"])
    assert one["checkpoint"] == other["checkpoint"]


def test_another_seed_would_show(trained: dict[int, list[Trained]]) -> None:
    """The digests are of what was trained: no two recipes have the same, and the losses move."""
    found = trained[1][0]
    assert len({str(one["checkpoint"]) for one in found.values()}) == len(found)
    assert all(len(set(one["losses"])) > BATCHES // 2 for one in found.values())
