"""Optimizers: torch's own arithmetic, in a process that never imports torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from tinydigits import recipe
from tinydigits.optim import build_optimizer

CASES = [
    ("{name='sgd', lr=0.1}", torch.optim.SGD, {"lr": 0.1}),
    ("{name='sgd', lr=0.1, momentum=0.9, nesterov=true, weight_decay=0.01}", torch.optim.SGD,
     {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("{name='adam', lr=0.01, betas=[0.8, 0.9]}", torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.9)}),
    ("{name='adamw', lr=0.01, weight_decay=0.3, eps=1e-6}", torch.optim.AdamW,
     {"lr": 0.01, "weight_decay": 0.3, "eps": 1e-6}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "constants"), CASES)
def test_the_steps_are_torchs(text: str, kind: type, constants: dict[str, object]) -> None:
    ours, theirs = nn.Linear(3, 2), nn.Linear(3, 2)
    theirs.load_state_dict(ours.state_dict())
    part = recipe.load("two-conv", [f"optimizer={text}"]).optimizer
    pairs = [(ours, build_optimizer(ours, part)), (theirs, kind(theirs.parameters(), **constants))]
    for step in range(5):
        images = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        for model, optimizer in pairs:
            model(images).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert not ours.weight.requires_grad or ours.weight.grad is None


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    part = recipe.load("two-conv").optimizer
    assert [len(group["params"]) for group in build_optimizer(model, part).param_groups] == [1]


def test_training_does_not_import_torchs_compiler() -> None:
    program = """if True:
        import sys, tempfile
        from tinydigits import recipe, train
        settings = ["data.source=digits", "data.validation=1000", "average={name='ema'}", "optimizer.clip_norm=1"]
        with tempfile.TemporaryDirectory() as out:
            train.train(recipe.load("two-conv", settings), out=out)
        print("torch._dynamo" in sys.modules)
    """
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
