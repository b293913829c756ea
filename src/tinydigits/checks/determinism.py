"""The same image gives the same answer to the last bit, and the same seed the same training step.

In eval mode the answer depends on the image and the weights alone: the forward pass keeps nothing from call to call,
draws no random numbers, asks no clock, and leaves the images that it is given as they were. Of a stranger's code all
this is asked of its graph; that the code answers as its graph does, `model.graph` asks.
"""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.verdict import Finding

NAME = "behaviour.determinism"
_NUM_CALLS = 8
ADVICE = (
    "Draw random numbers in train mode only, through torch's generator, and keep nothing from one call to the next."
)


class Limits(_limits.Limits):
    """`true`, or `{train = false}` to ask for eval mode only."""

    train: bool = Field(True, description="whether two training steps of one seed are compared, too")


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask many times in eval mode; take the gradient twice from one seed in train mode."""
    images_BCHW = subject.images(16)
    given_BCHW = images_BCHW.clone()
    with subject.borrow() as model, torch.no_grad():
        answers = [logits_of(model, given_BCHW) for _ in range(2)]
        if not torch.equal(given_BCHW, images_BCHW):
            return Finding(
                NAME, "fail", "changes the images", "the same bits", "the forward pass writes into its input"
            )
        alone = [logits_of(model, images_BCHW[:1]) for _ in range(_NUM_CALLS)]
        answers.append(logits_of(model, images_BCHW))
    different = [(one, other) for one, *others in (answers, alone) for other in others if not torch.equal(one, other)]
    if different:
        spread = max(float((other - one).abs().max()) for one, other in different)
        return Finding(NAME, "fail", f"answers differ by {spread:.1e}", "the same bits", "in eval mode")
    if limits.train and True in subject.modes and any(p.requires_grad for p in subject.model.parameters()):
        first, second = _gradients(subject, images_BCHW), _gradients(subject, images_BCHW)
        if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
            return Finding(NAME, "fail", "gradients differ", "the same bits", "in train mode, from the same seed")
        return Finding(
            NAME,
            "pass",
            "the same bits",
            "the same bits",
            "after other calls, and in two training steps of a seed",
        )
    return Finding(NAME, "pass", "the same bits", "the same bits", "after other calls, in eval mode")


def _gradients(subject: Subject, images_BCHW: Tensor) -> list[Tensor]:
    with subject.borrow(train=True) as model:
        F.cross_entropy(logits_of(model, images_BCHW).float(), subject.labels(len(images_BCHW))).backward()
        return [p.grad for p in model.parameters() if p.grad is not None]


class _AsksTheClock(nn.Module):
    """Lets the time of day into its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.flatten(1)) + time.perf_counter() % 1


EXAMPLES = (
    Example("pass", lambda: small(), says="two training steps"),
    Example("pass", lambda: small(), {"train": False}, says="in eval mode"),
    Example("fail", lambda: small(_AsksTheClock()), says="answers differ"),
)
