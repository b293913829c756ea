"""Trainings by a function that cheat are found or ended, and honest, unusual ones hold, each in its own sandbox."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from tinydigits.contract import Contract
from tinydigits.errors import TinydigitsError
from tinydigits.verdict import Verdict
from tinydigits.verification import Request, Retraining, verify

FOLDER = Path(__file__).parent / "trainings"


def read(name: str) -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location(f"_trainings_{name}", FOLDER / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(FOLDER))


CHEATS, HONEST = read("cheats").EXPECTED, read("honest").NAMES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, with weights beside them that a training would like to have."""
    copied = tmp_path_factory.mktemp("trainings")
    for path in FOLDER.glob("*.py"):
        shutil.copy(path, copied)
    torch.save({"head.weight": torch.zeros(10, 784), "head.bias": torch.zeros(10)}, copied / "net.pt")
    return copied


def verdict_of(function: Path, name: str, *, epochs: int) -> Verdict:
    groups = {"training": {"epochs": {"max": epochs}}, "accuracy": {"source": "digits", "min": 0.5, "bound": "point"}}
    return verify(
        Request(
            target=f"{function.parent}/net.py:Net", contract=Contract.model_validate({"name": "asked"} | groups),
            retraining=Retraining(function=f"{function}:{name}"), threads=1,
        )
    )  # fmt: skip


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheating_training_does_not_hold(name: str, folder: Path) -> None:
    expected = CHEATS[name]
    if expected in ("fail", "undecided"):
        count = verdict_of(folder / "cheats.py", name, epochs=1).findings["training.epochs"]
        assert count.status == expected, count
        return
    with pytest.raises(TinydigitsError, match=expected):
        verdict_of(folder / "cheats.py", name, epochs=1)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_training_holds(name: str, folder: Path) -> None:
    verdict = verdict_of(folder / "honest.py", name, epochs=3)
    assert verdict.word == "holds", verdict.findings


def test_there_are_enough_of_both() -> None:
    assert len(CHEATS) >= 25 and len(HONEST) >= 15
