"""One real run on the bundled digits, and a copy that was verified."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import tinydigits.recipe
from tests.conftest import verify_and_keep
from tinydigits.contract import Contract
from tinydigits.run import Run
from tinydigits.training import train

CONTRACT = Contract(
    name="half",
    model={"parameters": {"max": 20_000}},
    training={"epochs": {"max": 1}},
    accuracy={"source": "digits", "split": "test", "min": 0.1, "bound": "point"},
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two epochs on 901 bundled digits, with 300 held out; not to be written to."""
    recipe = tinydigits.recipe.load("digits", ["epochs=2", "data.validation=300", "seed=3"])
    return train(recipe, out=tmp_path_factory.mktemp("trained"), threads=1)


@pytest.fixture(scope="session")
def verified(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run with its verdict, which fails one check; not to be written to."""
    folder = tmp_path_factory.mktemp("verified") / trained.name
    shutil.copytree(trained.folder, folder)
    verify_and_keep(folder, CONTRACT, threads=1)
    return Run(folder)


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    """A copy of the trained run for one test."""
    return Run(Path(shutil.copytree(trained.folder, tmp_path / trained.name)))


@pytest.fixture
def judged(verified: Run, tmp_path: Path) -> Run:
    """A copy of the verified run for one test."""
    return Run(Path(shutil.copytree(verified.folder, tmp_path / verified.name)))
