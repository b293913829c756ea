"""How many numbers the model learns.

Every parameter of the module counts once: shared ones once, frozen and unused ones too. So do weights in hiding:
tensors that a graph of train or eval mode uses but that are neither parameters nor buffers, buffers that are no running
statistics, and numbers written out in the code once there are more than 64. Running statistics of BatchNorm do not
count; they are named beside. `count = "trainable"` leaves frozen parameters and buffers out. `unused` limits those on
which no output depends. Where the model has no graph, what it lists is counted, and only a limit that this breaks is
decided.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._limits import Range
from tinydigits.checks._subject import Subject
from tinydigits.errors import TinydigitsError
from tinydigits.trace import Contradiction, Trace, inventory
from tinydigits.verdict import Finding

NAME = "model.parameters"
ADVICE = "Use fewer channels, pool to 1×1 before a linear layer, or make a convolution separable."


class Limits(Range):
    """`{max = 24_999}`, `{equals = 9_274}`, `{max = 24_999, unused = 0}`."""

    count: Literal["total", "trainable"] = Field(
        "total", description="all parameters, or those alone that are not frozen"
    )
    unused: int | None = Field(None, ge=0, description="at most so many that the output does not depend on")

    def text(self) -> str:
        trainable = " trainable" if self.count == "trainable" else ""
        unused = "" if self.unused is None else f", at most {self.unused:,} unused"
        return super().text() + trainable + unused


def check(subject: Subject, limits: Limits) -> Finding:
    """Count, and name the layers that hold the most when there are too many."""
    try:
        trace = subject.trace
    except Contradiction:
        raise
    except TinydigitsError as error:
        return _without_graph(subject, limits, error)
    number = trace.num_constants
    number += trace.num_parameters + trace.num_buffer_weights if limits.count == "total" else trace.num_trainable
    beside = []
    num_frozen = trace.num_parameters - trace.num_trainable
    if num_frozen:
        beside.append(f"{num_frozen:,} " + ("of them frozen" if limits.count == "total" else "frozen ones left out"))
    if trace.num_unused:
        beside.append(f"{trace.num_unused:,} that the output does not depend on")
    if trace.num_constants:
        beside.append(f"{trace.num_constants:,} outside parameters() and buffers()")
    if trace.num_buffer_weights:
        beside.append(f"{trace.num_buffer_weights:,} in buffers that are no running statistics")
    if trace.num_buffers - trace.num_buffer_weights:
        beside.append(f"{trace.num_buffers - trace.num_buffer_weights:,} in running statistics do not count")
    has_spare = limits.unused is not None and trace.num_unused > limits.unused
    holds = limits.holds(number) and not has_spare
    if not limits.holds(number):
        largest = sorted(trace.layers, key=lambda layer: -layer.num_parameters)[:3]
        names = ", ".join(f"{layer.path or layer.name} {layer.num_parameters:,}" for layer in largest)
        beside.append(f"most are in {names}")
    return Finding.judge(
        NAME, holds, measured=f"{number:,}", limit=limits.text(), why="; ".join(beside), value=number,
        advice="" if holds else _advise(trace, number, limits),
        details={
            "total": trace.num_parameters, "trainable": trace.num_trainable, "unused": trace.num_unused,
            "constants": trace.num_constants, "buffers": trace.num_buffers, "buffer_weights": trace.num_buffer_weights,
        },
    )  # fmt: skip


def _without_graph(subject: Subject, limits: Limits, error: TinydigitsError) -> Finding:
    parameters = {id(p): p for p in inventory(subject.model).parameters.values()}.values()
    number = sum(p.numel() for p in parameters if limits.count == "total" or p.requires_grad)
    too_many = (limits.max is not None and number > limits.max) or (
        limits.equals is not None and number > limits.equals
    )
    why = f"weights kept elsewhere are not in it: {str(error).partition(chr(10))[0]}"
    return Finding(
        NAME, "fail" if too_many else "undecided", f"at least {number:,}", limits.text(), why, value=number,
        advice="Let the forward pass be one graph of torch operations, so that what it uses can be counted.",
    )  # fmt: skip


def _advise(trace: Trace, number: int, limits: Limits) -> str:
    if limits.holds(number):
        return "Use every parameter in `forward`, or delete it."
    most = limits.max if limits.equals is None else limits.equals
    if most is None or number <= most:
        return f"{(limits.min or most or 0) - number:,} parameters are missing."
    largest = max(trace.layers, key=lambda layer: layer.num_parameters)
    share = f"{largest.path or largest.name} ({largest.kind}) holds {largest.num_parameters:,} of {number:,}"
    return f"{number - most:,} too many; {share}. {ADVICE}"


def _shared() -> nn.Module:
    first, second = nn.Linear(64, 64), nn.Linear(64, 64)
    second.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), second)


class _Twice(nn.Module):
    """Has two names for its first layer and its last, and calls them by the second."""

    def __init__(self) -> None:
        super().__init__()
        net = small_model()
        self.first, self.head, self.net = net[0], net[-1], net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


def _spare() -> nn.Module:
    model = small_model()
    model[2].spare = nn.Parameter(torch.zeros(3))
    return model


class _Hidden(nn.Module):
    """Keeps its weights in a plain attribute, which `parameters()` does not list."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = [nn.Linear(64, 10).weight.detach()]

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.linear(images.flatten(1), self.weights[0])


class _DecidesByValues(nn.Module):
    """Takes one of two ways, so it has no one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.flatten(1)) if images.sum() > 0 else images.flatten(1)[:, :10]


EXAMPLES = (
    Example("pass", lambda: small(), {"max": 98}, says="98"),
    Example("fail", lambda: small(), {"max": 97}, says="most are in 6 50"),
    Example("fail", lambda: small(), {"equals": 97}),
    Example("pass", lambda: small(_shared(), num_classes=64), {"equals": 64 * 64 + 128}),
    Example("pass", lambda: small(_Twice()), {"equals": 98, "unused": 0}),
    Example("fail", lambda: small(_spare()), {"max": 101, "unused": 2}, says="3 that the output does not depend on"),
    Example("fail", lambda: small(_Hidden()), {"max": 100}, says="640 outside parameters()"),
    Example("undecided", lambda: small(_DecidesByValues()), {"max": 650}, says="decides by the values"),
    Example("fail", lambda: small(_DecidesByValues()), {"max": 649}, says="at least 650"),
    Example(
        "pass",
        lambda: small(small().model.requires_grad_(False)),
        {"count": "trainable", "max": 0},
        says="98 frozen ones left out",
    ),
)
