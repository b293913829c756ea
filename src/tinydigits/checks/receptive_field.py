"""How many rows and columns of the input one output sees.

Propagated through the graph: a window widens the field by (kernel - 1) · jump, and whatever mixes a whole map (a global
pool, a linear layer over a flattened map, squeeze-and-excitation) is a window as large as the map. Of several paths the
largest counts. It is a figure of the architecture, not cut at the image's edge. Gradients confirm it: as many rows and
columns of the image as any weights would reach must be reached by the model's own. A wide path whose weights are zero
widens nothing.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tinydigits.checks._examples import Example, small
from tinydigits.checks._limits import Range
from tinydigits.checks._subject import Subject
from tinydigits.errors import TinydigitsError
from tinydigits.verdict import Finding, Status

NAME = "model.receptive_field"
ADVICE = (
    "Each k×k convolution adds (k - 1) times the strides before it; a global pool or a linear layer sees the whole map."
)


class Limits(Range):
    """`{equals = 29}`, `{min = 28}`: pixels, for rows and columns alike."""


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare both sides of the field; where an operation is not known, what gradients reach and an upper bound."""
    trace = subject.trace
    rows, columns = trace.receptive_field
    measured = f"{rows}×{columns}"
    details: dict[str, Any] = {"rows": rows, "columns": columns, "exact": trace.exact}
    holds = limits.holds(rows) and limits.holds(columns)
    wants_width = limits.min is not None or limits.equals is not None
    try:
        own, possible = trace.reach(moved=not subject.trained)
    except TinydigitsError:  # no gradient confirms it
        own = possible = (0, 0)
    details |= {"reached": own, "reachable": possible}
    reached = f"{own[0]}×{own[1]}"
    why = f"gradients reach {reached} pixels of the image" if max(own) else "not confirmed: there is no gradient"
    if own[0] > rows or own[1] > columns:  # the windows of the graph do not tell all: pixels were moved
        why += f", further than the {measured} of the graph's windows"
        rows, columns = max(rows, own[0]), max(columns, own[1])
        holds = limits.holds(rows) and limits.holds(columns) and limits.equals is None and limits.max is None
        return Finding.judge(NAME, holds, measured=f"at least {reached}", limit=limits.text(), why=why, details=details)
    if wants_width and holds and own != possible:
        why += f", where other weights would reach {possible[0]}×{possible[1]}"
        return Finding(NAME, "fail", measured, limits.text(), why, details)
    if not trace.exact:
        why += f"; only an upper bound is known, because of {', '.join(trace.unknown_ops)}"
        least = limits.min is None or min(own) >= limits.min
        most = limits.max is None or max(rows, columns) <= limits.max
        beyond = limits.min is not None and min(rows, columns) < limits.min
        beyond |= limits.max is not None and max(own) > limits.max
        status: Status = "fail" if beyond else "pass" if least and most and limits.equals is None else "undecided"
        advice = f"Write {', '.join(trace.unknown_ops)} as convolutions, pools or matrix products."
        return Finding(NAME, status, f"{reached} to {measured}", limits.text(), why, details, advice=advice)
    return Finding.judge(
        NAME, holds, measured=measured, limit=limits.text(), why=why, details=details, value=min(rows, columns)
    )


def _two_convs() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Conv2d(2, 10, 3), nn.Flatten())


class _Fold(nn.Module):
    """Uses an operation whose reach is not known."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.unfold(images, 3).mean(2) @ images.new_ones(9, 10)


class _WideByZero(nn.Module):
    """Has a path of 7×7 beside one of 3×3, and multiplies it by nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.small, self.wide = nn.Conv2d(1, 10, 3, padding=1), nn.Conv2d(1, 10, 7, padding=3)

    def forward(self, images: Tensor) -> Tensor:
        return (self.small(images) + 0.0 * self.wide(images))[:, :, 4, 4]


EXAMPLES = (
    Example("pass", lambda: small(_two_convs(), input_shape=(1, 7, 7)), {"equals": 7}),
    Example("fail", lambda: small(_two_convs(), input_shape=(1, 7, 7)), {"min": 8}, says="7×7"),
    Example("pass", lambda: small(), {"equals": 8}),  # 3, and the global pool over 6×6 positions
    Example("fail", lambda: small(_WideByZero()), {"min": 7}, says="reach 3×3 pixels"),
    Example("undecided", lambda: small(_Fold()), {"equals": 3}, says="im2col"),
    Example("pass", lambda: small(_Fold()), {"min": 8}, says="8×8 to 8×8"),
)
