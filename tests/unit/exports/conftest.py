"""A quick run on the bundled digits, as it is and as what is exported."""

from __future__ import annotations

import pytest

from tinydigits import exports, recipe
from tinydigits.exports import Trained
from tinydigits.run import Run
from tinydigits.training import train


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = ["data.source=digits", "data.batch_size=16", "epochs=4", "data.validation=200"]
    return train(recipe.load("two-conv", settings), out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def trained(run: Run) -> Trained:
    return exports.of_run(run)
