"""For how many epochs the model was trained.

Weights do not tell, so this comes from the run's record, cross-checked with the number of images that the training
counted as it went: more images than epochs × training images do not fit into the budget.
"""

from __future__ import annotations

from tinydigits.checks._examples import Example, small
from tinydigits.checks._limits import Range
from tinydigits.checks._subject import Subject, Training
from tinydigits.verdict import Finding

NAME = "training.epochs"
ADVICE = "Train again within the budget: set `epochs` in the recipe, then `tinydigits train`."


class Limits(Range):
    """`{max = 19}`, `{equals = 1}`."""


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare the record's epochs, and the images seen, with the budget."""
    training = subject.recorded()
    passes = -(-training.images_seen // max(1, training.num_train))  # a pass that was begun counts whole
    details = {"epochs": training.epochs, "images_seen": training.images_seen, "num_train": training.num_train}
    why = f"{training.origin}; {training.images_seen:,} images seen of {training.num_train:,}"
    holds, advice = limits.holds(training.epochs), ADVICE
    if training.finished and passes != training.epochs:
        holds = False
        why = f"the record does not add up: {training.images_seen:,} images seen are {passes} passes"
    if training.objection:
        holds, why, advice = False, training.objection, "Train to the end, on the training images."
    return training.admit(Finding.judge(
        NAME, holds, measured=str(training.epochs), limit=limits.text(), why=why, details=details,
        value=training.epochs, advice=advice,
    ))  # fmt: skip


def _trained(epochs: int, images_seen: int, *, finished: bool = True) -> Subject:
    return small(training=Training(epochs, images_seen, 60_000, 0, finished))


EXAMPLES = (
    Example("pass", lambda: _trained(19, 1_140_000), {"max": 19}, says="from the record"),
    Example("fail", lambda: _trained(20, 1_200_000), {"max": 19}, says="20"),
    Example("fail", lambda: _trained(1, 120_000), {"max": 1}, says="does not add up"),
    Example("fail", lambda: _trained(1, 60_000, finished=False), {"max": 1}, says="did not finish"),
    Example("fail", lambda: _trained(0, 0), {"max": 1}, says="no training image was seen"),
    Example("undecided", lambda: small(training=Training(1, 9, 9, 0, doubt="it was cut")), {"max": 1}, says="was cut"),
    Example("not run", lambda: small(), {"max": 19}, says="no run's record"),
)
