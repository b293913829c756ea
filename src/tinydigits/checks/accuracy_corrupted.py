"""The share of right answers on corrupted images: noise, blur, low contrast, occlusion, rotation, shear, scale, …

Every image of the set is asked once under each corruption, at one severity of 1 (hardly seen) to 5 (still legible to
people). The corruptions are made by the operations that augment training images, with fixed seeds, so that every model
sees the same pictures. `min` bounds the mean over the corruptions, `min_each` the worst of them. The mean's interval is
that of the images: corrupting them does not make them more.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tinydigits.checks._corruptions import USUAL, corrupt
from tinydigits.checks._examples import Example, asked, small
from tinydigits.checks._images import ImageLimits, Share, answers, judge_mean_and_worst
from tinydigits.checks._subject import Subject
from tinydigits.figures import percent
from tinydigits.verdict import Finding

NAME = "accuracy.corrupted"
ADVICE = "Augment the training images in the same way (`[[augment]]` in the recipe)."

Corruption = Literal["noise", "blur", "contrast", "occlusion", "rotation", "shear", "scale", "perspective", "inversion"]


class Limits(ImageLimits):
    """`{min = 0.9, min_each = 0.8, severity = 3}`; `corruptions = ["noise", "inversion"]` asks for these."""

    min: Share | None = Field(None, description="the least mean share over the corruptions")
    min_each: Share | None = Field(None, description="the least share under the worst of them")
    severity: int = Field(3, ge=1, le=5, description="from hardly seen to still legible")
    corruptions: tuple[Corruption, ...] = Field(USUAL, min_length=1, description="which corruptions")  # type: ignore[arg-type]

    @model_validator(mode="after")
    def _limits_something(self) -> Limits:
        if self.min is None and self.min_each is None:
            raise ValueError("at least one of min, min_each")
        return self

    def text(self) -> str:
        parts = (("mean", self.min), ("each", self.min_each))
        words = ", ".join(f"{what} at least {percent(share)}" for what, share in parts if share is not None)
        return f"{words} of corrupted {self.images}, severity {self.severity}"


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask for the whole set under each corruption."""
    images, clean = answers(subject, limits)
    counts: dict[str, tuple[int, int]] = {}
    for name in dict.fromkeys(limits.corruptions):
        evaluation = subject.ask(corrupt(images, name, limits.severity))
        counts[name] = (evaluation.correct, evaluation.seen)
    return judge_mean_and_worst(
        NAME, counts, limits, minimum=limits.min, minimum_each=limits.min_each, clean=clean.accuracy
    )


EXAMPLES = (
    Example("pass", lambda: asked(0), {"min": 0.8, "corruptions": ["blur", "rotation"], "severity": 1}, says="blur"),
    Example("fail", lambda: asked(0), {"min": 0.99, "corruptions": ["inversion"]}, says="inversion 10.00 %"),
    Example("fail", lambda: asked(0), {"min_each": 0.9, "corruptions": ["contrast", "blur"]}, says="contrast"),
    Example("fail", lambda: asked(1), {"min": 0.95, "bound": "point", "corruptions": ["blur"], "severity": 1}),
    # As floats, the mean of three times 0.7 is less than 0.7.
    Example(
        "pass",
        lambda: asked(3),
        {"min": 0.7, "bound": "point", "corruptions": ["blur", "rotation", "shear"], "severity": 1},
        says="mean 70.00 %",
    ),
    Example("not run", lambda: small(), {"min": 0.9}, says="untrained"),
)
