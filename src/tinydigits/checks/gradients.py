"""Gradients reach every parameter.

Cross-entropy, a batch of more than one (BatchNorm's gradient of a single image is zero), train mode, float64 where the
model allows it, and norms relative to the largest: a bias before BatchNorm gets 1e-7 of rounding in float32, which
looks like a gradient and is none. A gradient far smaller than the others is compared with what small changes of the
parameter do to the loss: one that was cut on the way, and let through a little, does not count. A bias before BatchNorm
cannot learn; it is named, and fails only with `bias_before_batch_norm = "fail"`, since many published models have it.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.errors import TinydigitsError
from tinydigits.trace import Layer, Trace
from tinydigits.verdict import Finding

NAME = "behaviour.gradients"
NEEDS = ("train", "gradients")
ADVICE = (
    "Use every parameter in `forward`, or delete it; look for `detach`, `no_grad`, activations that are always off."
)

# Relative to the largest: float64 rounds to 1e-16 and float32 to 1e-7, with a margin for sums over a batch.
_FLOOR = {torch.float64: 1e-12, torch.float32: 1e-6}

# Below this share of the largest a gradient is looked at more closely, by moving the parameter a step each way.
_FAINT, _STEP, _LEAST_SLOPE = 1e-4, 1e-4, 1e-7


class Limits(_limits.Limits):
    """`true`, or `{batch_size = 16, frozen = "allow", bias_before_batch_norm = "fail"}`."""

    batch_size: int = Field(16, ge=2, description="how many images are asked")
    frozen: Literal["allow", "fail"] = Field("fail", description="whether parameters may be frozen")
    bias_before_batch_norm: Literal["allow", "fail"] = Field(
        "allow", description="whether a bias may stand before a BatchNorm, which cancels it"
    )


def check(subject: Subject, limits: Limits) -> Finding:
    """Add up each parameter's gradient norms over three batches, and name those that get nothing."""
    frozen = [name for name, p in subject.model.named_parameters() if not p.requires_grad]
    if len(frozen) == len(list(subject.model.parameters())):
        return Finding(
            NAME, "fail", "0 tensors", "all that can learn", "every parameter is frozen" if frozen else "no parameters"
        )
    try:
        norms = _norms(subject, limits.batch_size, torch.float64)
        floor = _FLOOR[torch.float64]
    except (RuntimeError, TypeError):  # the model insists on float32 somewhere
        norms = _norms(subject, limits.batch_size, torch.float32)
        floor = _FLOOR[torch.float32]
    largest = max((norm for norm in norms.values() if norm is not None), default=0.0)
    silent = [name for name, norm in norms.items() if norm is None or not norm > floor * largest]
    cancelled = [name for name in silent if name in _biases_before_batch_norm(subject)] if silent else []
    notes, wrong = [], [name for name in silent if name not in cancelled]
    faint = [
        name for name, norm in norms.items() if name not in silent and norm is not None and norm < _FAINT * largest
    ]
    cut = _cut(subject, limits.batch_size, faint) if faint and floor == _FLOOR[torch.float64] else []
    if cut:
        notes.append(f"next to none of what changes the loss reaches {', '.join(cut)}")
        wrong += cut
    if wrong:
        notes.append(f"none reaches {', '.join(wrong)}")
    if frozen:
        notes.append(f"frozen: {', '.join(frozen)}")
        wrong += frozen if limits.frozen == "fail" else []
    if cancelled:
        notes.append(f"BatchNorm takes away what {', '.join(cancelled)} adds, so it cannot learn")
        wrong += cancelled if limits.bias_before_batch_norm == "fail" else []
    reached = len(norms) - len(silent)
    return Finding.judge(
        NAME, not wrong and reached > 0, measured=f"{reached} of {len(norms) + len(frozen)} tensors",
        limit="all that can learn", why="; ".join(notes),
        details={"relative_norms": {name: norm and norm / (largest or 1.0) for name, norm in norms.items()}},
    )  # fmt: skip


def _norms(subject: Subject, batch_size: int, dtype: torch.dtype) -> dict[str, float | None]:
    with subject.borrow(train=True) as model:
        model.double() if dtype == torch.float64 else model.float()  # a complex weight stays complex
        model.zero_grad(set_to_none=True)
        for seed in range(3):
            images_BCHW, labels_B = subject.images(batch_size, seed).to(dtype), subject.labels(batch_size, seed)
            F.cross_entropy(logits_of(model, images_BCHW), labels_B).backward()
        return {
            name: None if p.grad is None else float(p.grad.double().norm() / p.numel() ** 0.5)
            for name, p in model.named_parameters()
            if p.requires_grad
        }


def _cut(subject: Subject, batch_size: int, names: list[str]) -> list[str]:
    """The parameters along which the loss rises a thousand times as steeply as their gradient says."""
    images_BCHW, labels_B = subject.images(batch_size).double(), subject.labels(batch_size)
    with subject.borrow(train=True) as model:
        model.to(torch.float64)
        parameters = dict(model.named_parameters())

        def loss() -> Tensor:
            torch.manual_seed(0)
            return F.cross_entropy(logits_of(model, images_BCHW), labels_B)

        gradients = torch.autograd.grad(loss(), [parameters[name] for name in names], allow_unused=True)
        cut = []
        for name, gradient in zip(names, gradients, strict=True):
            direction = torch.randn_like(parameters[name]) / parameters[name].numel() ** 0.5
            losses = []
            with torch.no_grad():
                for step in (_STEP, -2 * _STEP, _STEP):  # the last brings it back
                    parameters[name].add_(direction, alpha=step)
                    losses.append(float(loss()))
            measured = abs(losses[0] - losses[1]) / (2 * _STEP)
            analytic = abs(float((gradient * direction).sum())) if gradient is not None else 0.0
            if measured > max(1e3 * analytic, _LEAST_SLOPE):
                cut.append(name)
        return cut


def _biases_before_batch_norm(subject: Subject) -> set[str]:
    """Biases that reach nothing but BatchNorm, which takes any shift away: their gradient is zero by algebra."""
    try:
        trace = subject.trace
    except TinydigitsError:
        return set()
    shift_only = {"max_pool", "reshape", "global_average_pool", "global_max_pool"}
    biases: set[str] = set()
    for layer in trace.layers:
        if {"conv", "linear"} & set(layer.kinds):
            following = _following(trace, layer.name)
            while following and all(nxt.kind in shift_only for nxt in following):
                following = [later for nxt in following for later in _following(trace, nxt.name)]
            if following and all(nxt.kind in {"batch_norm", "instance_norm"} for nxt in following):
                biases |= {name for name in layer.parameter_names if name.rpartition(".")[2] == "bias"}
    return biases


def _following(trace: Trace, name: str) -> list[Layer]:
    return [layer for layer in trace.layers if name in layer.inputs]


class _Detached(nn.Module):
    """Cuts the graph behind its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.second(self.first(images.flatten(1)).relu().detach())


def _unused() -> nn.Module:
    model = small_model()
    model[2].spare = nn.Parameter(torch.zeros(3))
    return model


EXAMPLES = (
    Example("pass", lambda: small(small_model(batch_norm=False)), says="4 of 4"),
    Example("pass", lambda: small(), says="cannot learn"),
    Example("fail", lambda: small(), {"bias_before_batch_norm": "fail"}, says="0.bias"),
    Example("fail", lambda: small(_Detached()), says="none reaches first.weight, first.bias"),
    Example("fail", lambda: small(_unused()), says="none reaches 2.spare"),
    Example("fail", lambda: small(small_model().requires_grad_(False)), says="frozen"),
)
