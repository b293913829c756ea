"""What the checks of the group `accuracy` share: which images are asked, and how a count is judged against a limit."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from tinydigits import data, figures
from tinydigits.checks import _limits
from tinydigits.checks._subject import Subject
from tinydigits.data import ImageSet
from tinydigits.errors import DataUnavailable, TinydigitsError
from tinydigits.evaluate import Evaluation
from tinydigits.figures import percent
from tinydigits.stats import Interval, images_to_decide, shortfall, wilson_interval
from tinydigits.text import source_label
from tinydigits.verdict import Finding, Status

__all__ = [
    "ImageLimits",
    "Margin",
    "Share",
    "answers",
    "judge_interval",
    "judge_mean_and_worst",
    "judge_worst",
]

_USUAL_SOURCE = "mnist"

Share = Annotated[float, Field(gt=0, le=1)]
"""Of right answers, at least: none would ask for nothing."""
Margin = Annotated[float, Field(ge=0, lt=1)]
"""A difference of shares, at most: the whole of 1 would allow everything."""


class ImageLimits(_limits.Limits):
    """Which images are asked, and how sure a finding must be."""

    source: str | None = Field(
        None, description="a data set's name or a folder; without one what the model was trained on, else mnist"
    )
    split: Literal["train", "test"] = Field("test", description="the official test images, or the training images")
    bound: Literal["point", "confidence"] = Field(
        "confidence", description="compare the share itself, or the whole interval"
    )
    confidence: float = Field(0.95, ge=0.5, lt=1, description="how sure the interval is")

    @property
    def images(self) -> str:
        """The images in words."""
        return f"{source_label(self.source or 'its own')} {self.split}"

    def for_subject(self, subject: Subject) -> Self:
        own = subject.trained_on.source if subject.trained_on else _USUAL_SOURCE
        return self.model_copy(update={"source": own if self.source is None else data.locate(self.source)})

    def name_training_set(self, finding: Finding, subject: Subject) -> Finding:
        """Say beside a figure of another data set than the model's own on what it was trained."""
        own = subject.trained_on.source if subject.trained_on else self.source
        if own in (None, self.source) or finding.status == "not run":
            return finding
        why = f"{finding.why}; trained on another data set, {source_label(own)}"
        return replace(finding, why=why.removeprefix("; "), advice=f"On its own test images: --data {shlex.quote(own)}")


def answers(subject: Subject, limits: ImageLimits) -> tuple[ImageSet, Evaluation]:
    """The images and what the model says to all of them.

    Raises TinydigitsError, which becomes a finding *not run*, for an untrained model and for data that cannot be had.
    """
    if not subject.trained:
        raise TinydigitsError("the model is untrained", hint="--weights FILE, or train it and verify the run")
    try:
        images, evaluation = subject.evaluate(limits.source or _USUAL_SOURCE, limits.split)
    except DataUnavailable as error:
        hint = "TINYDIGITS_DATA=FOLDER with the four original files"
        raise TinydigitsError(error.where, error.problem, hint=hint) from error
    if evaluation.seen != len(images):
        raise TinydigitsError(limits.images, got=f"{evaluation.seen:,} answers", expected=f"{len(images):,}")
    return images, evaluation


def judge_interval(interval: Interval, minimum: float) -> Status:
    """Pass when all of an interval is at or over the minimum, fail when all of it is under, else undecided.

    >>> judge_interval(Interval(0.992, 0.995), 0.99), judge_interval(Interval(0.992, 0.995), 0.994)
    ('pass', 'undecided')
    """
    return "pass" if interval.low >= minimum else "fail" if interval.high < minimum else "undecided"


def judge_worst(
    counts: Mapping[str, tuple[int, int]], minimum: float, limits: ImageLimits
) -> tuple[Status, str, str, dict[str, Any]]:
    """Of several (correct, seen), the worst must reach a minimum: status, the worst's name, why, details.

    >>> judge_worst({"a": (99, 100), "b": (50, 100)}, 0.7, ImageLimits())[:2]
    ('fail', 'b')
    >>> judge_worst({"b": (50, 100)}, 0.6, ImageLimits())[0]
    'fail'
    >>> judge_worst({"a": (99, 100), "b": (50, 100)}, 0.6, ImageLimits())[0]
    'undecided'

    Every one of m counts is held at confidence 1 - (1 - confidence) / m, as Bonferroni asks where the worst is chosen.
    """
    confidence = 1 - (1 - limits.confidence) / len(counts)
    intervals = {name: wilson_interval(*count, confidence) for name, count in counts.items()}
    shares = {name: correct / seen for name, (correct, seen) in counts.items()}
    worst = min(shares, key=lambda name: shares[name])
    lowest = min(intervals.values(), key=lambda interval: interval.low)
    first_to_fail = min(intervals.values(), key=lambda interval: interval.high)
    why = f"{percent(confidence, trim=True)} interval {figures.interval(intervals[worst])}"
    details = {
        "confidence_each": confidence, "bound": limits.bound,
        "each": {name: {"correct": correct, "seen": seen} for name, (correct, seen) in counts.items()},
    }  # fmt: skip
    if limits.bound == "point":
        return ("pass" if shares[worst] >= minimum else "fail"), worst, why, details
    status = judge_interval(Interval(lowest.low, first_to_fail.high), minimum)
    if status == "undecided":
        needed = images_to_decide(*counts[worst], minimum, confidence)
        why += "; " + (f"{needed:,} images at this share would decide" if needed else "no number of images decides")
    return status, worst, why, details


def judge_mean_and_worst(
    check: str,
    counts: Mapping[str, tuple[int, int]],
    limits: ImageLimits,
    *,
    minimum: float | None = None,
    minimum_each: float | None = None,
    clean: float,
    beside: str = "",
) -> Finding:
    """Judge the same images asked in several ways: the mean against `minimum`, each against `minimum_each`.

    >>> counts = {"noise": (98, 100), "blur": (50, 100)}
    >>> finding = judge_mean_and_worst("c", counts, ImageLimits(), minimum=0.5, minimum_each=0.7, clean=1.0)
    >>> finding.status, finding.measured
    ('fail', 'mean 74.00 %, blur 50.00 %')
    """
    statuses: list[Status] = []
    notes = []
    shares = {name: correct / seen for name, (correct, seen) in counts.items()}
    mean, seen = sum(shares.values()) / len(shares), next(iter(counts.values()))[1]
    worst = min(shares, key=lambda name: shares[name])
    details: dict[str, Any] = {
        "each": {name: correct for name, (correct, _) in counts.items()},
        "seen": seen,
        "mean": mean,
    }
    if minimum is not None:
        interval = wilson_interval(round(mean * seen), seen, limits.confidence)
        status = judge_interval(interval, minimum)
        if limits.bound == "point":
            status = "pass" if shortfall(mean, minimum) <= 0 else "fail"
        statuses.append(status)
        notes.append(f"{percent(limits.confidence, trim=True)} interval of the mean {figures.interval(interval)}")
    if minimum_each is not None:
        status, worst, why, _ = judge_worst(counts, minimum_each, limits)
        statuses.append(status)
        notes.append(f"of {worst} {why}")
    others = sorted((name for name in counts if name != worst), key=lambda name: shares[name])[:7]
    notes += [beside] if beside else []
    notes.append(", ".join([f"unchanged {percent(clean)}", *(f"{name} {percent(shares[name])}" for name in others)]))
    status = "fail" if "fail" in statuses else "undecided" if "undecided" in statuses else "pass"
    measured = f"{worst} {percent(shares[worst])}"
    if minimum is not None:
        measured = f"mean {percent(mean)}, {measured}"
    value = 100 * (mean if minimum is not None else shares[worst])
    return Finding(check, status, measured, limits.text(), "; ".join(notes), details, value)
