"""How long one batch takes, in milliseconds, at a named percentile.

Measured in a process of its own with a named number of threads, after a warm-up: another library in the process, or
another number of threads, changes latency a hundredfold. The calls are timed in blocks, and between the blocks a fixed
reference workload (products of matrices that take as long as a call) is timed as often: how much slower than its best
it runs at the same percentile is the machine's noise. Noise only ever adds time, so the true figure lies between the
quickest block divided by the noise and the slowest block. All of that within the limit passes, all of it beyond fails,
and else the machine is too noisy to tell. Loading the model and the first call are named apart.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small
from tinydigits.checks._own_process import measure_elsewhere
from tinydigits.checks._subject import Subject
from tinydigits.verdict import Finding, Status

NAME = "latency"
ADVICE = (
    "Lower multiply-adds (`tinydigits models show MODEL`): fewer channels, an earlier stride, separable convolutions."
)
_NUM_BLOCKS = 5


class Limits(_limits.Limits):
    """`{max_ms = 100, percentile = 95, threads = 1, batch_size = 1}`; at most `runs` calls, within `budget_seconds`."""

    max_ms: float = Field(gt=0, description="the most milliseconds for one batch")
    percentile: Literal[50, 95, 99] = Field(95, description="so many of 100 calls must be as fast")
    threads: int = Field(1, ge=1, description="threads of the process that is timed")
    batch_size: int = Field(1, ge=1, description="images in one call")
    runs: int = Field(500, ge=_NUM_BLOCKS, description="calls that are timed at most")
    budget_seconds: float = Field(5.0, gt=0, description="the time that the measurement may take")

    def text(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"p{self.percentile} at most {self.max_ms:g} ms, batch {self.batch_size}, {threads}"


def check(subject: Subject, limits: Limits) -> Finding:
    """Time the model elsewhere and compare what it can have been with the limit."""
    answer = measure_elsewhere(
        subject, "latency", batch_size=limits.batch_size, threads=limits.threads,
        budget_seconds=limits.budget_seconds, runs=limits.runs, blocks=_NUM_BLOCKS,
    )  # fmt: skip
    key = f"p{limits.percentile}"
    noise = answer["reference"][key] / answer["reference"]["best"]
    status = judge_noisy([block[key] for block in answer["blocks"]], noise, limits.max_ms)
    why = (
        f"p50 {answer['p50']:.2f}, p95 {answer['p95']:.2f}, p99 {answer['p99']:.2f} ms of {answer['runs']} calls; "
        f"first call {answer['cold_ms']:.1f} ms, after {answer['load_ms']:.0f} ms of loading; "
        f"noise: the reference's p{limits.percentile} is {noise:.2f} times its best"
    )
    measured, details = f"{key} {answer[key]:.2f} ms", dict(answer) | {"noise": noise}
    advice = "Measure on a quieter machine, or leave more room between the limit and the model."
    return Finding(NAME, status, measured, "", why, details, answer[key], advice if status == "undecided" else "")


def judge_noisy(blocks_ms: Sequence[float], noise: float, max_ms: float) -> Status:
    """A limit against the percentiles of several blocks, on a machine that slows its reference `noise` times.

    >>> judge_noisy([2.0, 2.1], 1.05, max_ms=3), judge_noisy([4.0, 4.1], 1.05, max_ms=3)
    ('pass', 'fail')
    >>> judge_noisy([2.9, 3.2], 1.05, max_ms=3), judge_noisy([4.0, 4.1], 1.5, max_ms=3)
    ('undecided', 'undecided')
    """
    if max(blocks_ms) <= max_ms:
        return "pass"
    return "fail" if min(blocks_ms) / noise > max_ms else "undecided"


class _Sleeps(nn.Module):
    """Rests for 50 ms at each call."""

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(0.05)
        return images.flatten(1)[:, :10]


EXAMPLES = (
    Example("pass", lambda: small(), {"max_ms": 1_000, "budget_seconds": 0.2}, says="first call"),
    # A fiftieth of the sleep, so that no noise of this machine explains it.
    Example("fail", lambda: small(_Sleeps()), {"max_ms": 1, "budget_seconds": 0.5, "percentile": 50}, says="noise"),
    Example(
        "not run", lambda: small(nn.Sequential(type("Local", (nn.ReLU,), {})())), {"max_ms": 5}, says="cannot be sent"
    ),
)
