"""The share of right answers on every image of a named set and split.

Correct and seen are counted and divided once. With `bound = "point"` the share is compared as coursework does. With
`bound = "confidence"` the Wilson interval decides: pass when all of it is at or over the limit, fail when all of it is
under, else undecided, with the number of images that would decide at this share.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _finding
from tinydigits.checks._examples import Example, small, small_images
from tinydigits.checks._finding import TRAIN_IT, Finding
from tinydigits.checks._subject import Subject
from tinydigits.errors import DataUnavailable
from tinydigits.stats import images_to_decide, wilson_interval

NAME = "accuracy"
ADVICE = (
    "Train longer, or by another recipe (`tinydigits recipes ls`); tune on validation images, never on test images."
)


class Limits(_finding.Limits):
    """`{source = "mnist", split = "test", min = 0.994, bound = "confidence", confidence = 0.95}`, as shares of 1."""

    source: str = "mnist"
    split: Literal["train", "test"] = "test"
    min: Annotated[float, Field(ge=0, le=1)]
    bound: Literal["point", "confidence"] = "confidence"
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask the model for every image and judge the count."""
    limit = f"at least {100 * limits.min:.2f} % of {limits.source} {limits.split}"
    if not subject.trained:
        return Finding.not_run(NAME, "the model is untrained", limit=limit, advice=TRAIN_IT)
    try:
        images, answers = subject.evaluate(limits.source, limits.split)
    except DataUnavailable as error:
        return Finding.not_run(
            NAME, str(error), limit=limit, advice="Name a folder with the four original files in TINYDIGITS_DATA."
        )
    if answers.seen != len(images):
        return Finding(NAME, "fail", f"{answers.seen:,} images", limit, f"not all {len(images):,} were asked")
    interval = wilson_interval(answers.correct, answers.seen, limits.confidence)
    measured = f"{100 * answers.accuracy:.2f} % ({answers.correct:,} of {answers.seen:,})"
    words = f"{100 * limits.confidence:g} % interval {100 * interval.low:.2f} to {100 * interval.high:.2f} %"
    if subject.shift_pixels:
        words += f"; with test-time augmentation, shifts of up to {subject.shift_pixels} pixels"
    details = {
        "correct": answers.correct, "seen": answers.seen, "low": interval.low, "high": interval.high,
        "confidence": limits.confidence, "bound": limits.bound, "data_sha256": images.sha256,
        "shift_pixels": subject.shift_pixels,
    }  # fmt: skip
    if limits.bound == "point" or interval.low >= limits.min or interval.high < limits.min:
        holds = answers.accuracy >= limits.min
        missing = math.ceil(round(limits.min * answers.seen, 6)) - answers.correct
        return Finding.judge(
            NAME, holds, measured=measured, limit=limit, why=words, details=details, value=100 * answers.accuracy,
            advice=f"{missing:,} more of the {answers.seen:,} images must be right. {ADVICE}",
        )  # fmt: skip
    needed = images_to_decide(answers.correct, answers.seen, limits.min, limits.confidence)
    words += ", which holds the limit; " + (
        f"{needed:,} images at this share would decide" if needed else "no number decides"
    )
    reach = next(
        count for count in range(answers.correct, answers.seen + 1)
        if count == answers.seen or wilson_interval(count, answers.seen, limits.confidence).low >= limits.min
    )  # fmt: skip
    advice = f"{reach:,} right answers of {answers.seen:,} would pass" + (
        f", and so would this share of {needed:,} images." if needed and answers.accuracy > limits.min else "."
    )
    return Finding(
        NAME, "undecided", measured, limit, words, details | {"images_to_decide": needed}, 100 * answers.accuracy,
        f'{advice} `bound = "point"` asks for the plain comparison instead.',
    )  # fmt: skip


class _Brightness(nn.Module):
    """Tells the classes of `small_images` apart but for the first `num_wrong` of them."""

    def __init__(self, num_wrong: int = 0) -> None:
        super().__init__()
        self.num_wrong = num_wrong

    def forward(self, images: Tensor) -> Tensor:
        brightness = (images.mean((1, 2, 3)) * 255 / 25).round()
        guesses = brightness + (brightness < self.num_wrong)
        return -(guesses[:, None] - guesses.new_tensor(range(10))).abs()


def _asked(num_wrong: int, num_images: int = 200) -> Subject:
    images = small_images(num_images)
    return Subject(
        _Brightness(num_wrong), name="brightness", mean=0.0, std=1.0, trained=True,
        load_images=lambda source, split: images,
    )  # fmt: skip


EXAMPLES = (
    Example("pass", lambda: _asked(0), {"min": 0.95}, says="100.00 % (200 of 200)"),
    Example("fail", lambda: _asked(1), {"min": 0.95}, says="90.00 % (180 of 200)"),
    Example("pass", lambda: _asked(1), {"min": 0.9, "bound": "point"}),
    Example("undecided", lambda: _asked(1), {"min": 0.89}, says="images at this share would decide"),
    Example("not run", lambda: small(), {"min": 0.9}, says="untrained"),
)
