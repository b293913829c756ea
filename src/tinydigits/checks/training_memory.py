"""How much memory the training process held at most, in MB of 1,000,000 bytes; from the run's record."""

from __future__ import annotations

from pydantic import Field

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small
from tinydigits.checks._subject import Subject, Training
from tinydigits.verdict import Finding

NAME = "training.memory"
ADVICE = 'Train with a smaller `data.batch_size`, or with `precision = "bf16"`.'


class Limits(_limits.Limits):
    """`{max_mb = 1_000}`."""

    max_mb: float = Field(gt=0, description="the largest peak, in MB of 1,000,000 bytes")

    def text(self) -> str:
        return f"at most {self.max_mb:,.0f} MB"


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare the record's peak of resident memory."""
    training = subject.recorded()
    if not training.peak_memory_bytes:
        return Finding.not_run(
            NAME, "the record has no peak memory: the system did not tell",
            advice="Train where /proc or getrusage tells it: on Linux or macOS.",
        )  # fmt: skip
    peak_mb = training.peak_memory_bytes / 1e6
    return Finding.judge(
        NAME, peak_mb <= limits.max_mb, measured=f"{peak_mb:,.0f} MB",
        why="peak resident memory of the training process, from the record",
        details={"peak_memory_bytes": training.peak_memory_bytes}, value=peak_mb,
    )  # fmt: skip


def _trained(peak_memory_bytes: int) -> Subject:
    return small(training=Training(1, 60_000, 60_000, peak_memory_bytes))


EXAMPLES = (
    Example("pass", lambda: _trained(430_000_000), {"max_mb": 1_000}, says="430 MB"),
    Example("fail", lambda: _trained(1_430_000_000), {"max_mb": 1_000}, says="1,430 MB"),
    Example("not run", lambda: _trained(0), {"max_mb": 1_000}),
)
