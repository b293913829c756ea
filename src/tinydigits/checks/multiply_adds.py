"""How many multiply-adds one image costs, in convolutions, linear layers and matrix products.

The rest (activations, pools, normalisation, which an exporter can fold away) counts as none, as the field does it. Read
from the graph, so a layer that is called twice costs twice.
"""

from __future__ import annotations

from tinydigits.checks._examples import Example, small
from tinydigits.checks._limits import Range
from tinydigits.checks._subject import Subject
from tinydigits.verdict import Finding

NAME = "model.multiply_adds"
ADVICE = "Pool or stride earlier, use fewer channels there, or make the convolution separable."


class Limits(Range):
    """`{max = 2_000_000}`."""


def check(subject: Subject, limits: Limits) -> Finding:
    """Add up the layers, and name the dearest when it is too much."""
    trace = subject.trace
    holds = limits.holds(trace.macs)
    dearest = sorted(trace.layers, key=lambda layer: -layer.macs)[:3]
    why = "" if holds else "most in " + ", ".join(f"{layer.path or layer.name} {layer.macs:,}" for layer in dearest)
    over = trace.macs - (limits.max or trace.macs)
    advice = f"{over:,} too many; {dearest[0].path or dearest[0].name} costs most. {ADVICE}" if over > 0 else ""
    return Finding.judge(
        NAME, holds, measured=f"{trace.macs:,}", limit=limits.text(), why=why, details={"macs": trace.macs},
        value=trace.macs, advice=advice,
    )  # fmt: skip


# The convolution: 4 channels, 6×6 positions, 9 weights; the linear layer: 4 × 10.
EXAMPLES = (
    Example("pass", lambda: small(), {"equals": 4 * 36 * 9 + 40}),
    Example("fail", lambda: small(), {"max": 1_000}, says="most in 0 1,296"),
)
