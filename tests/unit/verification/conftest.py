"""A run to verify, trained once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tinydigits import recipe
from tinydigits.run import Run
from tinydigits.training import train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two epochs of two-conv on the bundled digits."""
    settings = ["data.source=digits", "epochs=2", "data.batch_size=32", "contract=digits"]
    return train(recipe.load("two-conv", settings), out=tmp_path_factory.mktemp("runs"), device="cpu", threads=1)


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    """A copy of it that a test may spoil."""
    return Run(Path(shutil.copytree(trained.folder, tmp_path / "runs" / trained.name)))
