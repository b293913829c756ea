"""How many numbers the model learns.

Every parameter of the module counts once: shared ones once, frozen and unused ones too. Floating-point tensors that the
graph uses but that are neither parameters nor buffers count as well, since they are weights in hiding. Running
statistics of BatchNorm do not count; they are named beside. `count = "trainable"` leaves frozen parameters out.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from tinydigits.checks._examples import Example, small
from tinydigits.checks._finding import Finding, Range
from tinydigits.checks._subject import Subject
from tinydigits.trace import Trace

NAME = "model.parameters"
ADVICE = "Use fewer channels, pool to 1×1 before a linear layer, or make a convolution separable."


class Limits(Range):
    """`{max = 24_999}`, `{equals = 9_274}`."""

    count: Literal["total", "trainable"] = "total"


def check(subject: Subject, limits: Limits) -> Finding:
    """Count, and name the layers that hold the most when there are too many."""
    found = subject.trace
    number = (found.num_parameters if limits.count == "total" else found.num_trainable) + found.num_constants
    beside = []
    if found.num_parameters != found.num_trainable:
        beside.append(f"{found.num_parameters - found.num_trainable:,} of them frozen")
    if found.num_unused:
        beside.append(f"{found.num_unused:,} that the output does not depend on")
    if found.num_constants:
        beside.append(f"{found.num_constants:,} outside parameters() and buffers()")
    if found.num_buffers:
        beside.append(f"and {found.num_buffers:,} in buffers, which do not count")
    holds = limits.holds(number)
    if not holds:
        largest = sorted(found.layers, key=lambda layer: -layer.num_parameters)[:3]
        names = ", ".join(f"{layer.path or layer.name} {layer.num_parameters:,}" for layer in largest)
        beside.append(f"most are in {names}")
    return Finding.judge(
        NAME, holds, measured=f"{number:,}", limit=limits.text(), why="; ".join(beside), value=number,
        advice="" if holds else _advise(found, number, limits),
        details={
            "total": found.num_parameters, "trainable": found.num_trainable, "unused": found.num_unused,
            "constants": found.num_constants, "buffers": found.num_buffers,
        },
    )  # fmt: skip


def _advise(found: Trace, number: int, limits: Limits) -> str:
    most = limits.max if limits.equals is None else limits.equals
    if most is None or number <= most:
        return f"{(limits.min or most or 0) - number:,} parameters are missing."
    largest = max(found.layers, key=lambda layer: layer.num_parameters)
    share = f"{largest.path or largest.name} ({largest.kind}) holds {largest.num_parameters:,} of {number:,}"
    return f"{number - most:,} too many; {share}. {ADVICE}"


def _shared() -> nn.Module:
    first, second = nn.Linear(64, 64), nn.Linear(64, 64)
    second.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), second)


class _Hidden(nn.Module):
    """Keeps its weights in a plain attribute, which `parameters()` does not list."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = [nn.Linear(64, 10).weight.detach()]

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.linear(images.flatten(1), self.weights[0])


EXAMPLES = (
    Example("pass", lambda: small(), {"max": 98}, says="98"),
    Example("fail", lambda: small(), {"max": 97}, says="most are in 6 50"),
    Example("fail", lambda: small(), {"equals": 97}),
    Example("pass", lambda: small(_shared(), num_classes=64), {"equals": 64 * 64 + 128}),
    Example("fail", lambda: small(_Hidden()), {"max": 100}, says="640 outside parameters()"),
    Example("pass", lambda: small(small().model.requires_grad_(False)), {"count": "trainable", "max": 0}, says="98 of"),
)
