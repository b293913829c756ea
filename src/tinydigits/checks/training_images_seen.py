"""How many images the training took in, every pass over the same image counted again; as the training counted them.

This is the budget itself: an epoch of 60,000 images is 60,000, whatever a training calls an epoch.
"""

from __future__ import annotations

from tinydigits.checks._examples import Example, small
from tinydigits.checks._limits import Range
from tinydigits.checks._subject import Subject, Training
from tinydigits.verdict import Finding

NAME = "training.images_seen"
ADVICE = "Train for fewer epochs (`tinydigits train --epochs …`)."


class Limits(Range):
    """`{max = 60_000}`."""


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare the count with the budget; an unfinished training has not counted all, and one of no images is none."""
    training = subject.recorded()
    if training.objection:
        advice = "Train to the end, on the training images."
        return Finding(NAME, "fail", f"{training.images_seen:,}", "", training.objection, advice=advice)
    return training.admit(Finding.judge(
        NAME, limits.holds(training.images_seen), measured=f"{training.images_seen:,}",
        why=f"{training.origin}; {training.images_seen / max(1, training.num_train):.2f} times the training images",
        details={"images_seen": training.images_seen, "num_train": training.num_train}, value=training.images_seen,
    ))  # fmt: skip


def _trained(images_seen: int, *, finished: bool = True, **facts: str) -> Subject:
    return small(training=Training(1, images_seen, 60_000, 0, finished, **facts))  # type: ignore[arg-type]


EXAMPLES = (
    Example("pass", lambda: _trained(60_000), {"max": 60_000}, says="1.00 times"),
    Example("fail", lambda: _trained(60_001), {"max": 60_000}, says="60,001"),
    Example("fail", lambda: _trained(100, finished=False), {"max": 60_000}, says="did not finish"),
    Example("fail", lambda: _trained(0), {"max": 60_000}, says="no training image was seen"),
    Example("fail", lambda: _trained(9, foreign="brought along"), {"max": 60_000}, says="brought along"),
    Example("undecided", lambda: _trained(9, doubt="it was cut"), {"max": 60_000}, says="it was cut"),
    Example("not run", lambda: small(), {"max": 60_000}, says="no run's record"),
)
