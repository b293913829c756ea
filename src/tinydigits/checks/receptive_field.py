"""How many rows and columns of the input one output sees.

Propagated through the graph: a window widens the field by (kernel - 1) · jump, and whatever mixes a whole map (a global
pool, a linear layer over a flattened map, squeeze-and-excitation) is a window as large as the map. Of several paths the
largest counts. It is a figure of the architecture, not cut at the image's edge.
"""

from __future__ import annotations

from torch import Tensor, nn

from tinydigits.checks._examples import Example, small
from tinydigits.checks._finding import Finding, Range, Status
from tinydigits.checks._subject import Subject

NAME = "model.receptive_field"
ADVICE = (
    "Each k×k convolution adds (k - 1) times the strides before it; a global pool or a linear layer sees the whole map."
)


class Limits(Range):
    """`{equals = 29}`, `{min = 28}`: pixels, for rows and columns alike."""


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare both sides of the field; undecided where an operation is not known and only a bound is."""
    found = subject.trace
    rows, columns = found.receptive_field
    measured = f"{rows}×{columns}"
    details = {"rows": rows, "columns": columns, "exact": found.exact}
    holds = limits.holds(rows) and limits.holds(columns)
    if not found.exact:
        why = f"only an upper bound is known, because of {', '.join(found.unknown_ops)}"
        # An upper bound under the maximum decides; one over it, or a minimum, does not.
        status: Status = "pass" if holds and limits.min is None and limits.equals is None else "undecided"
        advice = (
            f"Write {', '.join(found.unknown_ops)} as convolutions, pools or matrix products, or ask for `max` only."
        )
        return Finding(NAME, status, f"at most {measured}", limits.text(), why, details, advice=advice)
    return Finding.judge(NAME, holds, measured=measured, limit=limits.text(), details=details, value=min(rows, columns))


def _two_convs() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Conv2d(2, 10, 3), nn.Flatten())


class _Fold(nn.Module):
    """Uses an operation whose reach is not known."""

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.unfold(images, 3).mean(2) @ images.new_ones(9, 10)


EXAMPLES = (
    Example("pass", lambda: small(_two_convs(), input_shape=(1, 7, 7)), {"equals": 7}),
    Example("fail", lambda: small(_two_convs(), input_shape=(1, 7, 7)), {"min": 8}, says="7×7"),
    Example("pass", lambda: small(), {"equals": 8}),  # 3, and the global pool over 6×6 positions
    Example("undecided", lambda: small(_Fold()), {"equals": 3}, says="im2col"),
)
