"""The share of right answers within each class: the worst class decides.

A mean hides a class that is lost. Each class has its own Wilson interval; since the worst of K is looked for, each is
held at the confidence 1 - (1 - confidence) / K (Bonferroni), so that luck in one class of many does not decide.
"""

from __future__ import annotations

from pydantic import Field

from tinydigits.checks._examples import Example, asked, small
from tinydigits.checks._images import ImageLimits, Share, answers, judge_worst
from tinydigits.checks._subject import Subject
from tinydigits.figures import percent
from tinydigits.verdict import Finding

NAME = "accuracy.per_class"
ADVICE = "Look at that class among the mistakes of the run's report; give it more images, or augment otherwise."


class Limits(ImageLimits):
    """`{min = 0.98}`, as shares of 1; which images, and how sure, as `accuracy` says around it."""

    min: Share = Field(description="the least share of right answers in each class")

    def text(self) -> str:
        return f"each class at least {percent(self.min)} of {self.images}"


def check(subject: Subject, limits: Limits) -> Finding:
    """Judge the counts of each row of the confusion matrix."""
    images, evaluation = answers(subject, limits)
    seen, correct = evaluation.confusion_KK.sum(axis=1), evaluation.confusion_KK.diagonal()
    counts = {images.classes[k]: (int(correct[k]), int(seen[k])) for k in range(len(images.classes)) if seen[k]}
    status, worst, why, details = judge_worst(counts, limits.min, limits)
    share = counts[worst][0] / counts[worst][1]
    measured = f"{percent(share)} of class {worst} ({counts[worst][0]:,} of {counts[worst][1]:,})"
    mistaken_K = evaluation.confusion_KK[images.classes.index(worst)].copy()
    mistaken_K[images.classes.index(worst)] = 0
    if mistaken_K.any():
        why += f"; most often taken for {images.classes[int(mistaken_K.argmax())]}"
    return Finding(NAME, status, measured, "", why, details)


EXAMPLES = (
    Example("pass", lambda: asked(0), {"min": 0.5}, says="100.00 %"),
    Example("fail", lambda: asked(1), {"min": 0.5}, says="0.00 % of class 0 (0 of 20)"),
    Example("fail", lambda: asked(1), {"min": 0.5, "bound": "point"}, says="most often taken for 1"),
    Example("undecided", lambda: asked(0), {"min": 0.9}, says="would decide"),
    Example("not run", lambda: small(), {"min": 0.9}, says="untrained"),
)
