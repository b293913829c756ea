"""The share of right answers on shifted images: the worst of all shifts by up to n pixels decides.

Every image of the set is asked once under each shift by whole pixels along both axes: 8 shifts for 1 pixel, 24 for 2.
What leaves the picture is lost, what comes in is black; MNIST's margin of 4 pixels holds all ink up to there. Besides
the worst shift, the finding names the share of images that are right under every shift.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks._examples import Example, asked, small
from tinydigits.checks._images import ImageLimits, Share, answers, judge_mean_and_worst
from tinydigits.checks._subject import Subject
from tinydigits.data import ImageSet
from tinydigits.figures import percent
from tinydigits.verdict import Finding

NAME = "accuracy.shifted"
ADVICE = 'Shift the training images (`[[augment]]` with `name = "affine"`), or pool over all positions at the end.'


class Limits(ImageLimits):
    """`{min = 0.98, pixels = 1}`: the worst shift by up to so many pixels."""

    min: Share = Field(description="the least share under the worst shift")
    pixels: int = Field(1, ge=1, le=4, description="how far images are shifted at most")

    def text(self) -> str:
        return f"at least {percent(self.min)} of {self.images} under each shift of up to {self.pixels} px"


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask for the whole set under each shift."""
    images, clean = answers(subject, limits)
    right_N = clean.predicted_N == images.labels_N
    counts = {}
    reach = range(-limits.pixels, limits.pixels + 1)
    for down, right in ((down, right) for down in reach for right in reach if down or right):
        evaluation = subject.ask(shift(images, down, right))
        counts[f"{_direction(down, 'down', 'up')}{_direction(right, 'right', 'left')}".strip()] = (
            evaluation.correct, evaluation.seen,
        )  # fmt: skip
        right_N &= evaluation.predicted_N == images.labels_N
    return judge_mean_and_worst(
        NAME, counts, limits, minimum_each=limits.min, clean=clean.accuracy,
        beside=f"{percent(float(right_N.mean()))} are right under every shift",
    )  # fmt: skip


def shift(images: ImageSet, down: int, right: int) -> ImageSet:
    """The images moved by whole pixels, black where nothing was."""
    height, width = images.images_NHW.shape[1:]
    moved_NHW = np.zeros_like(images.images_NHW)
    rows, columns = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
    from_rows, from_columns = slice(max(0, -down), height - max(0, down)), slice(max(0, -right), width - max(0, right))
    moved_NHW[:, rows, columns] = images.images_NHW[:, from_rows, from_columns]
    return ImageSet(f"{images.name}, shifted", images.split, moved_NHW, images.labels_N, images.classes)


def _direction(pixels: int, forward: str, backward: str) -> str:
    return f" {abs(pixels)} {forward if pixels > 0 else backward}" if pixels else ""


class _LooksAtTheMiddle(nn.Module):
    """Reads the brightness of the middle: a shift by a pixel or two changes nothing."""

    def forward(self, images: Tensor) -> Tensor:
        return asked(0).model(images[:, :, 10:18, 10:18])


class _LooksAtTheEdge(nn.Module):
    """Reads the brightness of the first column, which is black after a shift to the right."""

    def forward(self, images: Tensor) -> Tensor:
        return asked(0).model(images[:, :, 4:24, :1])


EXAMPLES = (
    Example("pass", lambda: asked(0, model=_LooksAtTheMiddle()), {"min": 0.9, "pixels": 2}, says="100.00 %"),
    Example("fail", lambda: asked(0, model=_LooksAtTheEdge()), {"min": 0.9}, says="1 right 10.00 %"),
    Example(
        "fail", lambda: asked(1, model=_LooksAtTheEdge()), {"min": 0.5, "bound": "point"}, says="under every shift"
    ),
    Example("undecided", lambda: asked(0, model=_LooksAtTheMiddle()), {"min": 0.99}, says="would decide"),
    Example("not run", lambda: small(), {"min": 0.9}, says="untrained"),
)
