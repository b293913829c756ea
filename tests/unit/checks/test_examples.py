"""Every check that is found shows itself on examples, and leaves each model as it was."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from tinydigits import checks
from tinydigits.checks import Check, Example

CASES = [
    pytest.param(check, example, id=f"{name}-{number}-{example.status.replace(' ', '-')}")
    for name in checks.names()
    for check in [checks.get(name)]
    for number, example in enumerate(check.examples)
]


@pytest.mark.parametrize(("check", "example"), CASES)
def test_example_gets_its_finding_and_its_model_stays_as_it_was(check: Check, example: Example) -> None:
    subject = example.subject()
    model = subject.model
    model.train()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = _fingerprint(model)

    finding = checks.run(check, subject, example.limits)

    assert (finding.status, finding.check) == (example.status, check.name), finding
    assert example.says in f"{finding.measured} {finding.why}", finding
    assert bool(finding.advice) == (finding.status != "pass"), finding
    assert _fingerprint(model) == before


@pytest.mark.parametrize("name", checks.names())
def test_check_has_a_passing_and_a_failing_example(name: str) -> None:
    statuses = {example.status for example in checks.get(name).examples}
    assert {"pass", "fail"} <= statuses


@pytest.mark.parametrize("name", checks.names())
def test_check_says_what_it_checks_and_its_limits_show_an_example(name: str) -> None:
    check = checks.get(name)
    assert check.doc and check.doc[0].isupper()
    assert check.advice.endswith("."), "a check says what to do where it does not pass"
    assert check.limits.__doc__ and "`" in check.limits.__doc__
    assert check.limits.model_config["extra"] == "forbid"


def _fingerprint(model: torch.nn.Module) -> tuple[object, ...]:
    """Everything of a model and of the random generators that a check could disturb."""
    return (
        [(name, t.dtype, t.device.type, t.numpy().tobytes()) for name, t in model.state_dict().items()],
        [module.training for module in model.modules()],
        [(p.requires_grad, None if p.grad is None else (id(p.grad), p.grad.tolist())) for p in model.parameters()],
        [buffer.tolist() for buffer in model.buffers()],
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    )


def test_a_findings_texts_are_printable_whatever_a_model_names() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    model.register_parameter("w\n::error::\x1b[2J", torch.nn.Parameter(torch.zeros(3)))  # no gradient reaches it
    finding = checks.run(checks.get("behaviour.gradients"), checks.Subject(model), {})
    assert finding.status == "fail" and r"w\n::error::\x1b[2J" in finding.why
    assert all(text.isprintable() for text in (finding.measured, finding.limit, finding.why, finding.advice))
