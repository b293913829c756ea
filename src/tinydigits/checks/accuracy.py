"""The share of right answers on every image of a named set and split, for one training or as a mean over seeds.

Correct and seen are counted and divided once. With `bound = "point"` the share is compared as coursework does. With
`bound = "confidence"` the interval decides: pass when all of it is at or over the limit, fail when all of it is under,
else undecided, with the number of images or of seeds that would decide.

Two uncertainties are kept apart. The *images'*: another test set of this size would give another share; Wilson's
interval. The *seeds'*: another seed would give another model; Student's t-interval of the mean over trainings that
differ in nothing but the seed, which `seeds = 3` asks for: the claim is then that of the recipe, not of one run. Both
must clear the limit. More seeds than asked for all count: there is no best of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import nn

from tinydigits import figures
from tinydigits.checks._examples import Example, asked, small
from tinydigits.checks._images import ImageLimits, Share, answers, judge_interval
from tinydigits.checks._subject import Subject
from tinydigits.figures import percent
from tinydigits.stats import images_to_decide, mean_and_sd, mean_interval, seeds_to_decide, shortfall, wilson_interval
from tinydigits.trace import fingerprint
from tinydigits.verdict import Finding, Status

NAME = "accuracy"
ADVICE = (
    "Train longer, or by another recipe (`tinydigits recipes ls`); tune on validation images, never on test images."
)


class Limits(ImageLimits):
    """`{source = "mnist", split = "test", min = 0.994, bound = "confidence", confidence = 0.95}`; `seeds = 3`."""

    min: Share = Field(description="the least share of right answers")
    seeds: int = Field(1, ge=1, description="how many trainings, of a seed each, are needed at least")

    def text(self) -> str:
        mean = f"mean of {self.seeds} seeds " if self.seeds > 1 else ""
        return f"{mean}at least {percent(self.min)} of {self.images}"


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask the model for every image and judge the count; where seeds are asked for, its siblings as well."""
    images, evaluation = answers(subject, limits)
    details = {
        "confidence": limits.confidence, "bound": limits.bound, "data_sha256": images.sha256, "seen": evaluation.seen,
        "shift_pixels": subject.shift_pixels,
    }  # fmt: skip
    beside = ""
    if subject.shift_pixels:
        beside = f"; with test-time augmentation, shifts of up to {subject.shift_pixels} pixels"
    if limits.seeds == 1:
        details["calibration_error"] = evaluation.calibration_error(images.labels_N)
        return _judge_one(evaluation.correct, evaluation.seen, limits, beside, details)
    trainings = _distinct([subject, *subject.siblings()])
    return _judge_seeds([answers(each, limits)[1].correct for each in trainings], limits, beside, details)


def _judge_one(correct: int, seen: int, limits: Limits, beside: str, details: dict[str, Any]) -> Finding:
    share, interval = correct / seen, wilson_interval(correct, seen, limits.confidence)
    details = {"correct": correct, "low": interval.low, "high": interval.high} | details
    why = f"{percent(limits.confidence, trim=True)} interval {figures.interval(interval)}"
    status, advice = judge_interval(interval, limits.min), ADVICE
    if limits.bound == "point":
        status = "pass" if share >= limits.min else "fail"
    if status == "fail":
        missing = math.ceil(round(limits.min * seen, 6)) - correct
        advice = f"{missing:,} more of the {seen:,} images must be right. {ADVICE}"
    if status == "undecided":
        needed = images_to_decide(correct, seen, limits.min, limits.confidence)
        details["images_to_decide"] = needed
        why += f", which holds the limit; {_would_decide(needed, 'images at this share')}"
        reach = next(
            count for count in range(correct, seen + 1)
            if count == seen or wilson_interval(count, seen, limits.confidence).low >= limits.min
        )  # fmt: skip
        advice = f"{reach:,} right answers of {seen:,} would pass" + (
            f", and so would this share of {needed:,} images." if needed and share > limits.min else "."
        )
        advice += ' `bound = "point"` asks for the plain comparison instead.'
    measured = f"{percent(share)} ({correct:,} of {seen:,})"
    return Finding(NAME, status, measured, "", why + beside, details, 100 * share, advice)


def _judge_seeds(correct: list[int], limits: Limits, beside: str, details: dict[str, Any]) -> Finding:
    num_seeds, seen = len(correct), details["seen"]
    shares = [count / seen for count in correct]
    mean, sd = mean_and_sd(shares)
    details = {"correct_of_each": correct, "mean": mean, "sd": sd, "seeds": num_seeds} | details
    measured = f"{percent(mean)} (mean of {num_seeds} seeds)"
    if num_seeds < limits.seeds:
        return Finding(
            NAME, "undecided", measured, "", f"{limits.seeds} seeds would decide, and {num_seeds} found{beside}",
            details | {"seeds_to_decide": limits.seeds}, 100 * mean,
            "Train the recipe with more seeds (`tinydigits train RECIPE --seeds …`) into the same folder.",
        )  # fmt: skip
    # The seeds share their images: more seeds do not make the test set larger.
    of_images, of_seeds = (
        wilson_interval(round(mean * seen), seen, limits.confidence),
        mean_interval(shares, limits.confidence),
    )
    details |= {"images": vars(of_images), "seeds_interval": vars(of_seeds)}
    why = f"± {percent(sd).removesuffix(' %')} points from seed to seed; {percent(limits.confidence, trim=True)}"
    why += f" interval of the seeds {figures.interval(of_seeds)}, of the images {figures.interval(of_images)}"
    by_seeds, by_images = judge_interval(of_seeds, limits.min), judge_interval(of_images, limits.min)
    status: Status = "fail" if "fail" in (by_seeds, by_images) else "pass"
    if limits.bound == "point":
        status = "pass" if shortfall(mean, limits.min) <= 0 else "fail"
    elif status == "pass" and by_seeds == "undecided":
        status, needed = "undecided", seeds_to_decide(shares, limits.min, limits.confidence)
        details["seeds_to_decide"] = needed
        why += f"; {_would_decide(needed, 'seeds at this spread')}"
    if status != "fail" and limits.bound == "confidence" and by_images == "undecided":
        status, needed = "undecided", images_to_decide(round(mean * seen), seen, limits.min, limits.confidence)
        details["images_to_decide"] = needed
        why += f"; {_would_decide(needed, 'images at this share')}"
    return Finding(NAME, status, measured, "", why + beside, details, 100 * mean)


def _would_decide(needed: int | None, what: str) -> str:
    return f"{needed:,} {what} would decide" if needed else f"no number of {what.split()[0]} decides"


def _distinct(trainings: Sequence[Subject]) -> list[Subject]:
    """Each set of weights once: a copied run is no further seed, nor a training that begins as another did."""
    distinct: dict[str, Subject] = {}
    for subject in trainings:
        begins = subject.training.begins if subject.training else ""
        distinct.setdefault(begins or str(fingerprint(subject.model)), subject)
    return list(distinct.values())


def _group(*num_wrong: int) -> Subject:
    """Trainings that get so many of the ten classes wrong; their weights differ."""

    def training(number: int, wrong: int, **fields: Any) -> Subject:
        subject = asked(wrong, **fields)
        subject.model.seed = nn.Parameter(torch.tensor([float(number)]))
        return subject

    siblings = [training(number, wrong) for number, wrong in enumerate(num_wrong[1:], start=1)]
    return training(0, num_wrong[0], siblings=lambda: siblings)


EXAMPLES = (
    Example("pass", lambda: asked(0), {"min": 0.95}, says="100.00 % (200 of 200)"),
    Example("fail", lambda: asked(1), {"min": 0.95}, says="90.00 % (180 of 200)"),
    Example("pass", lambda: asked(1), {"min": 0.9, "bound": "point"}),
    Example("undecided", lambda: asked(1), {"min": 0.89}, says="images at this share would decide"),
    Example("not run", lambda: small(), {"min": 0.9}, says="untrained"),
    Example("pass", lambda: _group(1, 1, 1), {"min": 0.8, "seeds": 3}, says="90.00 % (mean of 3 seeds)"),
    Example("fail", lambda: _group(1, 1, 2), {"min": 0.95, "seeds": 3, "bound": "point"}, says="86.67 %"),
    Example("undecided", lambda: _group(0, 1, 2), {"min": 0.8, "seeds": 3}, says="seeds at this spread would decide"),
    Example("undecided", lambda: asked(0), {"min": 0.9, "seeds": 3}, says="3 seeds would decide, and 1 found"),
    Example(
        "undecided",
        lambda: asked(0, siblings=lambda: [asked(0)]),
        {"min": 0.9, "seeds": 2},
        says="and 1 found",
    ),
    Example("fail", lambda: _group(3, 3, 3), {"min": 0.9, "seeds": 3}, says="of the images"),
    # As floats, the mean of three times 0.7 is less than 0.7.
    Example("pass", lambda: _group(3, 3, 3), {"min": 0.7, "seeds": 3, "bound": "point"}, says="70.00 %"),
    Example("fail", lambda: _group(3, 3, 3), {"min": 0.7001, "seeds": 3, "bound": "point"}, says="70.00 %"),
)
