"""How much memory inference takes at most, in MB of 1,000,000 bytes, in a process of its own.

The peak of resident memory over some batches: Python, torch, weights and activations together, as a system would see
it. torch alone is by far the most of it for small models; `count = "model"` leaves out what the process had before the
model was loaded. Both figures are in the finding. Linux tells the peak; where no system does, the check is not run.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small
from tinydigits.checks._own_process import measure_elsewhere
from tinydigits.checks._subject import Subject
from tinydigits.verdict import Finding

NAME = "memory"
ADVICE = "Smaller batches and fewer channels in the first layers, where maps are large, take less."
_NUM_BATCHES = 20


class Limits(_limits.Limits):
    """`{max_mb = 500, batch_size = 100, threads = 1}`, `{max_mb = 50, count = "model"}`."""

    max_mb: float = Field(gt=0, description="the largest peak, in MB of 1,000,000 bytes")
    count: Literal["process", "model"] = Field("process", description="the whole process, or what came with the model")
    batch_size: int = Field(1, ge=1, description="images in one call")
    threads: int = Field(1, ge=1, description="threads of the process that is measured")

    def text(self) -> str:
        return f"at most {self.max_mb:,g} MB for the {self.count}, batch {self.batch_size}"


def check(subject: Subject, limits: Limits) -> Finding:
    """Run some batches elsewhere and read the peak."""
    answer = measure_elsewhere(
        subject, "memory", batch_size=limits.batch_size, threads=limits.threads, runs=_NUM_BATCHES
    )
    if not answer["peak_bytes"]:
        return Finding.not_run(NAME, "this system does not tell a process's peak memory")
    peak_mb = answer["peak_bytes"] / 1e6
    model_mb = (answer["peak_bytes"] - answer["before_bytes"]) / 1e6
    counted = peak_mb if limits.count == "process" else model_mb
    return Finding.judge(
        NAME, counted <= limits.max_mb, measured=f"{counted:,.0f} MB", details=dict(answer), value=counted,
        why=f"{peak_mb:,.0f} MB in all, of which {model_mb:,.0f} MB came with the model and its answers",
    )  # fmt: skip


class _Hoards(nn.Module):
    """Makes 200 MB at each call."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :10] + torch.ones(50_000_000).sum() * 0


EXAMPLES = (
    Example("pass", lambda: small(), {"max_mb": 2_000}, says="in all"),
    Example("fail", lambda: small(), {"max_mb": 20}, says="MB in all"),
    Example("fail", lambda: small(_Hoards()), {"max_mb": 180, "count": "model"}),
    Example("pass", lambda: small(), {"max_mb": 180, "count": "model"}),
)
