"""How long the training took, in seconds of the clock: all steps, and evaluations while it ran; start-up left out.

It says as much of the machine as of the recipe, so the machine is named beside it.
"""

from __future__ import annotations

from pydantic import Field

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small
from tinydigits.checks._subject import Subject, Training
from tinydigits.verdict import Finding

NAME = "training.seconds"
ADVICE = (
    'A larger batch, `batch_last = true` for few channels, `precision = "bf16"` with `channels_last = true` for many, '
    "or fewer epochs take less."
)


class Limits(_limits.Limits):
    """`{max = 60}`."""

    max: float = Field(gt=0, description="the most seconds")

    def text(self) -> str:
        return f"at most {self.max:g} s"


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare the measured time."""
    training = subject.recorded()
    if not training.finished:
        return Finding(NAME, "fail", f"{training.seconds:.1f} s so far", "", "the training did not finish")
    if not training.seconds:
        return Finding.not_run(NAME, "the record has no time", advice="Train again: this version records it.")
    why = f"{training.origin}" + (f"; on {training.machine}" if training.machine else "")
    return Finding.judge(
        NAME, training.seconds <= limits.max, measured=f"{training.seconds:.1f} s", why=why, value=training.seconds,
        details={"seconds": training.seconds},
    )  # fmt: skip


def _trained(seconds: float, *, finished: bool = True) -> Subject:
    return small(training=Training(1, 60_000, 60_000, 0, finished, seconds=seconds, machine="2 cores of a laptop"))


EXAMPLES = (
    Example("pass", lambda: _trained(6.1), {"max": 60}, says="2 cores of a laptop"),
    Example("fail", lambda: _trained(61), {"max": 60}, says="61.0 s"),
    Example("fail", lambda: _trained(5, finished=False), {"max": 60}, says="did not finish"),
    Example("not run", lambda: _trained(0), {"max": 60}, says="no time"),
)
