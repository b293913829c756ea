"""Trainings by a function that cheat are found or ended, and honest, unusual ones hold, each in its own sandbox."""

from __future__ import annotations

import importlib.util
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


def verdict_of(file: str, name: str, *, epochs: int) -> Verdict:
    groups = {"training": {"epochs": {"max": epochs}}, "accuracy": {"source": "digits", "min": 0.5, "bound": "point"}}
    return verify(
        Request(
            target=f"{FOLDER}/net.py:Net", contract=Contract.model_validate({"name": "asked"} | groups), threads=1,
            retraining=Retraining(function=f"{FOLDER}/{file}.py:{name}"),
        )
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def weights() -> object:
    path = FOLDER / "net.pt"
    torch.save({"head.weight": torch.zeros(10, 784), "head.bias": torch.zeros(10)}, path)
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheating_training_does_not_hold(name: str) -> None:
    if CHEATS[name] == "error":
        with pytest.raises(TinydigitsError):
            verdict_of("cheats", name, epochs=1)
        return
    verdict = verdict_of("cheats", name, epochs=1)
    count = verdict.findings["training.epochs"]
    assert count.status == CHEATS[name], count


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_training_holds(name: str) -> None:
    verdict = verdict_of("honest", name, epochs=3)
    assert verdict.word == "holds", verdict.findings


def test_there_are_enough_of_both() -> None:
    assert len(CHEATS) >= 25 and len(HONEST) >= 15
