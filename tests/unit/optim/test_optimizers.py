"""Optimizers: torch's own arithmetic, in a process that never imports torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from tinydigits import models, recipe
from tinydigits.errors import TinydigitsError
from tinydigits.optim import build_optimizer
from tinydigits.optim.muon import Muon

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


@pytest.mark.parametrize("ns_steps", [5, 3])
def test_muon_on_matrices_is_torchs(ns_steps: int) -> None:
    ours, theirs = (nn.Parameter(torch.zeros(4, 6)) for _ in range(2))
    constants = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "ns_steps": ns_steps}
    pairs = [
        (ours, Muon([{"params": [ours], "orthogonal": True}], **constants)),
        (theirs, torch.optim.Muon([theirs], **constants)),
    ]
    for step in range(5):
        gradient = torch.randn(4, 6, generator=torch.Generator().manual_seed(step))
        for parameter, optimizer in pairs:
            parameter.grad = gradient.clone()
            optimizer.step()
    assert ours.norm() > 0.3
    assert torch.allclose(ours, theirs, atol=0.02)  # torch's steps are in bf16


def test_a_recipe_says_how_many_steps_make_muons_orthogonal() -> None:
    settings = ["optimizer={name='muon', lr=0.02, momentum=0.9, ns_steps=2}"]
    optimizer = build_optimizer(models.build("two-conv"), recipe.load("two-conv", settings).optimizer)
    assert [group["ns_steps"] for group in optimizer.param_groups] == [2, 2]
    with pytest.raises(TinydigitsError, match="only with muon"):
        recipe.load("two-conv", ["optimizer.ns_steps=3"])


def test_muon_takes_kernels_as_matrices_and_the_others_at_their_rate() -> None:
    model = models.build("gap-cnn")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    part = recipe.load("gap-cnn", ["optimizer={name='muon', lr=0.02, other_lr=0.1, momentum=0.9}"]).optimizer
    optimizer = build_optimizer(model, part)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    hidden = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    assert len(hidden) == 6  # eight convolutions without the first and the last
    for parameter, old in zip(model.parameters(), before, strict=True):
        change = (parameter - old).detach()
        if id(parameter) in hidden:
            values = torch.linalg.svdvals(change.flatten(1)) / 0.02
            assert values.min() > 0.5 and values.max() < 1.3
        else:
            assert torch.allclose(change, -0.1 * 1.9 * parameter.grad, atol=1e-6)


def test_muon_resumes_from_its_state() -> None:
    def training(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(step))
            model(images).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    part = recipe.load("two-conv", ["optimizer={name='muon', lr=0.02, momentum=0.9}"]).optimizer
    straight, resumed = (models.build("two-conv", {"dropout": 0.0}) for _ in range(2))
    resumed.load_state_dict(straight.state_dict())
    training(straight, build_optimizer(straight, part), range(4))
    first = build_optimizer(resumed, part)
    training(resumed, first, range(2))
    second = build_optimizer(resumed, part)
    second.load_state_dict(first.state_dict())
    training(resumed, second, range(2, 4))
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_frozen_parameters_are_left_out() -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    part = recipe.load("two-conv").optimizer
    assert [len(group["params"]) for group in build_optimizer(model, part).param_groups] == [1]


def test_training_does_not_import_torchs_compiler() -> None:
    program = """if True:
        import sys, tempfile
        from tinydigits import recipe, training
        settings = ["data.source=digits", "data.validation=1000", "average={name='ema'}", "optimizer.clip_norm=1"]
        with tempfile.TemporaryDirectory() as out:
            training.train(recipe.load("two-conv", settings), out=out)
        print("torch._dynamo" in sys.modules)
    """
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
