"""Not worse than a named run, on the same images: the paired test.

Both models answer every image; only those that one gets right and the other wrong tell them apart. McNemar's exact test
asks whether these fall on one side more often than a coin would. The same binomial gives an interval of the difference
in accuracy: pass when all of it is over minus the margin, fail when all of it is under, else undecided, with the margin
that would pass. Without a margin only a better model, or one with the same answers, can pass beyond doubt: that two
models are exactly as good, no test can show. `bound = "point"` compares the two shares alone.
"""

from __future__ import annotations

from pydantic import Field

from tinydigits.checks._examples import Example, asked, small
from tinydigits.checks._images import ImageLimits, Margin, answers, judge_interval
from tinydigits.checks._subject import Subject
from tinydigits.figures import p_value, percent, points, points_interval
from tinydigits.stats import mcnemar, paired_interval
from tinydigits.verdict import Finding, Status

NAME = "accuracy.baseline"
ADVICE = "The finding's details name images that only the baseline gets right; a margin says what loss is allowed."


class Limits(ImageLimits):
    """`{run = "runs/20250101_120000_gap-cnn_s0", margin = 0.001}`: a run, or whatever else can be verified."""

    run: str = Field(min_length=1, description="what it is compared with: a run, or whatever else can be verified")
    margin: Margin = Field(0.0, description="the loss of accuracy that is allowed")

    def text(self) -> str:
        allowed = f"at most {points(self.margin)[1:]} points worse" if self.margin else "not worse"
        return f"{allowed} than {self.run} on {self.images}"


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask both models and judge the images on which they differ."""
    images, own = answers(subject, limits)
    _, theirs = answers(subject.baseline(limits.run), limits)
    own_right_N, their_right_N = own.predicted_N == images.labels_N, theirs.predicted_N == images.labels_N
    won, lost = int((own_right_N & ~their_right_N).sum()), int((their_right_N & ~own_right_N).sum())
    interval = paired_interval(won, lost, own.seen, limits.confidence)
    difference, p = (won - lost) / own.seen, mcnemar(won, lost)
    status: Status = judge_interval(interval, -limits.margin)
    if limits.bound == "point":
        status = "pass" if difference >= -limits.margin else "fail"
    why = (
        f"right on {won:,} that it gets wrong, wrong on {lost:,} that it gets right: "
        f"McNemar p = {p_value(p)}; {percent(limits.confidence, trim=True)} interval {points_interval(interval)} points"
    )
    if status == "undecided":
        why += f"; a margin of {-interval.low:.4f} would pass"
    return Finding(
        NAME, status, f"{points(difference)} points", "", why,
        {
            "won": won, "lost": lost, "seen": own.seen, "p_value": p, "difference": difference,
            "low": interval.low, "high": interval.high,
            "lost_images": (their_right_N & ~own_right_N).nonzero()[0][:50].tolist(),
        },
        100 * difference,
    )  # fmt: skip


def _against(num_wrong: int, baseline_wrong: int) -> Subject:
    return asked(num_wrong, baseline=lambda run: asked(baseline_wrong))


EXAMPLES = (
    Example("pass", lambda: _against(1, 2), {"run": "before"}, says="+10.00 points"),
    Example("pass", lambda: _against(1, 1), {"run": "before"}, says="+0.00 points"),
    Example("fail", lambda: _against(2, 1), {"run": "before"}, says="wrong on 20 that it gets right"),
    Example("fail", lambda: _against(2, 1), {"run": "before", "margin": 0.05, "bound": "point"}, says="-10.00 points"),
    Example("pass", lambda: _against(2, 1), {"run": "before", "margin": 0.11}),
    Example("undecided", lambda: _against(2, 1), {"run": "before", "margin": 0.09}, says="would pass"),
    Example("not run", lambda: small(), {"run": "before"}, says="untrained"),
    Example("not run", lambda: asked(0), {"run": "before"}, says="no baseline"),
)
