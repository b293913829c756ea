"""Bad models are rejected, each by the check that is meant to and for its reason; honest, unusual ones are accepted."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tinydigits import checks
from tinydigits.checks import Subject

HERE = Path(__file__).parent


def load(folder: str) -> list[Any]:
    """The corpus files of a folder, each imported under a name of its own."""
    modules = []
    for path in sorted((HERE / folder).glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"_corpus_{folder}_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        modules.append(module)
    return modules


BAD, HONEST = [], []
for module in load("bad"):
    for made, limits, says, *rest in module.CASES:
        name, facts = ([*rest, None, None])[:2]
        name = name or module.CHECK
        BAD.append(pytest.param(name, made, limits, says, facts or {}, id=f"{name}-{made.__name__}-{len(BAD)}"))
for module in load("honest"):
    for made, contract, *rest in module.CASES:
        HONEST.append(pytest.param(made, contract, rest[0] if rest else {}, id=made.__name__))


def subject_of(made: Any, facts: dict[str, Any]) -> Subject:
    torch.manual_seed(0)
    model = made()
    if isinstance(model, Subject):
        return model
    return Subject(model, **({"name": made.__name__, "input_shape": (1, 8, 8)} | facts))


@pytest.mark.parametrize(("name", "made", "limits", "says", "facts"), BAD)
def test_bad_model_is_rejected_for_its_reason(
    name: str, made: Any, limits: dict[str, Any], says: str, facts: dict[str, Any]
) -> None:
    finding = checks.run(checks.get(name), subject_of(made, facts), limits)
    assert finding.status == "fail", finding
    assert says in f"{finding.measured} {finding.why}", finding


@pytest.mark.parametrize(("made", "contract", "facts"), HONEST)
def test_honest_model_is_accepted(made: Any, contract: dict[str, dict[str, Any]], facts: dict[str, Any]) -> None:
    subject = subject_of(made, facts)
    findings = [checks.run(checks.get(name), subject, limits) for name, limits in contract.items()]
    assert [finding for finding in findings if finding.status != "pass"] == []


def test_the_corpus_is_large_enough() -> None:
    count = Counter(case.values[0] for case in BAD)
    assert sum(count.values()) >= 60 and len(HONEST) >= 30
