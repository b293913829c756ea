"""Inference gives probabilities: finite, from 0 to 1, one for each class, that sum to 1.

What the model gives is recognised: probabilities (rows sum to 1), log-probabilities (their exponentials do) or logits
(softmax makes them probabilities). With `output` it must be the one named.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._limits import Tolerance
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.evaluate import Output, recognise_output
from tinydigits.verdict import Finding

NAME = "behaviour.probabilities"
ADVICE = "Give logits, log-probabilities or probabilities over the classes (dimension 1), and nothing in between."


class Limits(_limits.Limits):
    """`true`, or `{output = "log_probabilities", tolerance = 1e-4}`."""

    output: Output | Literal["any"] = Field("any", description="what the answers must be")
    tolerance: Tolerance = Field(1e-4, description="how far a sum of probabilities may be from 1")


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask for 32 images in eval mode and look at the rows."""
    limit = "rows of 0 to 1 that sum to 1"
    with subject.borrow() as model, torch.no_grad():
        output_BK = logits_of(model, subject.images(32)).double()
    if output_BK.ndim != 2 or output_BK.shape[1] < 2:
        return Finding(NAME, "fail", f"shape {tuple(output_BK.shape)}", limit, "not one row of classes for each image")
    form = recognise_output(output_BK, limits.tolerance)
    if limits.output not in ("any", form):
        return Finding(NAME, "fail", form, limits.output, f"the output is {form.replace('_', '-')}")
    probabilities_BK = {"logits": output_BK.softmax(1), "log_probabilities": output_BK.exp()}.get(form, output_BK)
    if not probabilities_BK.isfinite().all():
        return Finding(NAME, "fail", "NaN or infinite", limit, f"from {form.replace('_', '-')}")
    error = float((probabilities_BK.sum(1) - 1).abs().max())
    inside = bool(((probabilities_BK >= 0) & (probabilities_BK <= 1 + limits.tolerance)).all())
    return Finding.judge(
        NAME, inside and error <= limits.tolerance, measured=f"sums within {error:.1e} of 1", limit=limit,
        why=f"the model gives {form.replace('_', '-')}", details={"output": form, "error": error},
    )  # fmt: skip


class _OneClassIsNaN(nn.Module):
    """Divides nothing by nothing for one class."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_model()

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images)
        return torch.cat([logits[:, :9], logits[:, 9:] * 0 / 0], dim=1)


EXAMPLES = (
    Example("pass", lambda: small(), says="logits"),
    Example("pass", lambda: small(nn.Sequential(small_model(), nn.LogSoftmax(1))), {"output": "log_probabilities"}),
    Example("pass", lambda: small(nn.Sequential(small_model(), nn.Softmax(1))), {"output": "probabilities"}),
    Example("fail", lambda: small(nn.Sequential(small_model(), nn.Sigmoid())), {"output": "probabilities"}),
    Example("fail", lambda: small(_OneClassIsNaN()), says="NaN"),
)
