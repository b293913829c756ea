"""What tests in any room may ask for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tinydigits import data

# For models this small a second thread waits more than it works, and on a busy machine it makes tests ten times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@dataclass(frozen=True)
class Mnist:
    """Real MNIST: both splits, and a folder of this test session with the four original files."""

    train: data.ImageSet
    test: data.ImageSet
    folder: Path


@pytest.fixture(scope="session")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Mnist:
    """Real MNIST, from `TINYDIGITS_DATA` or the cache. Without it a test is skipped, or fails where it is required.

    `TINYDIGITS_REQUIRE` lists, separated by commas, what a machine must have: CI sets `mnist`.
    """
    if data.at_hand("mnist") is None:
        reason = "MNIST is not at hand: set TINYDIGITS_DATA, or run `tinydigits datasets cp mnist FOLDER`"
        if "mnist" in os.environ.get("TINYDIGITS_REQUIRE", "").split(","):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("mnist")
    data.copy_files("mnist", folder, allow_download=False)
    train, test = (data.load("mnist", split, allow_download=False) for split in ("train", "test"))
    return Mnist(train, test, folder)
