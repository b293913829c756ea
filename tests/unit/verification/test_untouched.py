"""The verifier leaves a model as it found it: every check by itself, and the whole verdict."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tinydigits import checks
from tinydigits.checks import Subject
from tinydigits.contract import Contract
from tinydigits.verification import Request, verify


def calls(_: Any, given: Any, answer: Any) -> None:
    """A hook that a user left on the model."""


def odd_model() -> nn.Module:
    """A model in a state that nobody would put it back into by chance."""
    torch.manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(4, 10),
    )  # fmt: skip
    model[1].eval()
    model[6].bias.requires_grad_(False)
    model[0].register_forward_hook(calls)
    model[6].register_forward_pre_hook(lambda *_: None)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.25)
    model.note = {"epoch": 3}  # type: ignore[assignment]
    return model


def state_of(model: nn.Module) -> dict[str, Any]:
    """Everything of a model, and of the process, that a check could disturb."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "values": {name: tensor.detach().numpy().tobytes() for name, tensor in tensors.items()},
        "identity": {name: (id(tensor), tensor.data_ptr()) for name, tensor in tensors.items()},
        "types": {name: (tensor.dtype, tensor.device, tensor.requires_grad) for name, tensor in tensors.items()},
        "gradients": {
            name: (id(p.grad), p.grad.tolist()) for name, p in model.named_parameters() if p.grad is not None
        },
        "modes": [(name, module.training) for name, module in model.named_modules()],
        "modules": [(name, id(module), type(module)) for name, module in model.named_modules()],
        "hooks": [
            (name, key, list(value.items()))
            for name, module in model.named_modules() for key, value in vars(module).items()
            if key.endswith("_hooks")
        ],
        "attributes": [(name, sorted(vars(module))) for name, module in model.named_modules()],
        "note": dict(model.note),  # type: ignore[arg-type]
        "random": (torch.get_rng_state().tolist(), random.getstate(), repr(np.random.get_state())),  # noqa: NPY002
        "process": (
            torch.is_grad_enabled(), torch.get_num_threads(), torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(), torch.is_inference_mode_enabled(),
        ),
    }  # fmt: skip


@pytest.fixture
def untouched() -> Callable[[nn.Module], Callable[[], None]]:
    """Looks at a model, and gives what compares it with that look."""

    def look(model: nn.Module) -> Callable[[], None]:
        before = state_of(model)

        def compare() -> None:
            after = state_of(model)
            assert {key for key in before if before[key] != after[key]} == set()

        return compare

    return look


@pytest.mark.parametrize("name", checks.names())
def test_a_check_leaves_the_model_and_the_process_as_they_were(name: str, untouched: Any) -> None:
    check, model = checks.get(name), odd_model()
    limits = next(example.limits for example in check.examples if example.status == "pass")
    compare = untouched(model)
    checks.run(check, Subject(model, input_shape=(1, 8, 8)), limits)
    compare()


def test_a_whole_verdict_leaves_the_model_and_the_process_as_they_were(untouched: Any) -> None:
    model = odd_model()
    behaviour = {name.partition(".")[2]: True for name in checks.names() if name.startswith("behaviour.")}
    asked = Contract(
        name="all", shapes={"input": True, "output": True}, behaviour=behaviour,
        model={"parameters": {"max": 100}, "receptive_field": {"min": 3}, "layers": {"require": ["conv"]}},
        accuracy={"source": "digits", "min": 0.001, "per_class": {"min": 0.001}},
        latency={"max_ms": 1e3, "budget_seconds": 0.1},
    )  # fmt: skip
    compare = untouched(model)
    verdict = verify(Request(contract=asked), model)
    compare()
    assert len(verdict.findings) == len(behaviour) + 8 and "fail" not in {f.status for f in verdict.findings[:3]}


def test_the_look_sees_what_a_check_could_do(untouched: Any) -> None:
    for spoil in (
        lambda model: model.train(), lambda model: model[0].bias.data.add_(1), lambda model: torch.rand(1),
        lambda model: model[6].bias.requires_grad_(True), lambda model: model[2].register_forward_hook(calls),
        lambda model: model.zero_grad(), lambda model: model[1].running_mean.add_(1),
    ):  # fmt: skip
        model = odd_model()
        compare = untouched(model)
        with torch.no_grad():
            spoil(model)
        with pytest.raises(AssertionError):
            compare()
