"""The model answers each image with one number for each class: (B, K)."""

from __future__ import annotations

from pydantic import Field
from torch import nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.verdict import Finding

NAME = "shapes.output"
ADVICE = "End with one number for each class, as in `nn.Linear(width, 10)`; flatten what is left of rows and columns."


class Limits(_limits.Limits):
    """`true`, or `{classes = 10}`."""

    classes: int | None = Field(
        None, ge=1, description="how many numbers answer an image; as many as the model has classes by default"
    )


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare the shape for one image and for three."""
    num_classes = limits.classes or subject.num_classes
    with subject.borrow() as model:
        for batch_size in (1, 3):
            shape = tuple(logits_of(model, subject.images(batch_size)).shape)
            if shape != (batch_size, num_classes):
                return Finding(
                    NAME, "fail", f"shape {shape}", f"({batch_size}, {num_classes})", f"for {batch_size} image(s)"
                )
    return Finding(NAME, "pass", f"(B, {num_classes})", f"(B, {num_classes})", "for one image and for three")


EXAMPLES = (
    Example("pass", lambda: small()),
    Example("fail", lambda: small(small_model(num_classes=7)), says="shape (1, 7)"),
    Example("pass", lambda: small(small_model(num_classes=7)), {"classes": 7}),
    Example("fail", lambda: small(nn.Conv2d(1, 10, 3)), says="shape (1, 10, 6, 6)"),
)
