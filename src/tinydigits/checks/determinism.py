"""The same image gives the same answer to the last bit, and the same seed the same training step."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits.checks import _finding
from tinydigits.checks._examples import Example, small
from tinydigits.checks._finding import Finding
from tinydigits.checks._subject import Subject, logits_of

NAME = "behaviour.determinism"
ADVICE = (
    "Draw random numbers in train mode only, through torch's generator, and keep nothing from one call to the next."
)


class Limits(_finding.Limits):
    """`true`, or `{train = false}` to ask for eval mode only."""

    train: bool = True


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask three times in eval mode; take the gradient twice from one seed in train mode."""
    images_BCHW = subject.images(16)
    with subject.borrow() as model, torch.no_grad():
        answers = [logits_of(model, images_BCHW) for _ in range(3)]
    if not all(torch.equal(answers[0], other) for other in answers[1:]):
        spread = float((torch.stack(answers) - answers[0]).abs().max())
        return Finding(NAME, "fail", f"answers differ by {spread:.1e}", "the same bits", "in eval mode")
    if limits.train and any(p.requires_grad for p in subject.model.parameters()):
        first, second = _gradients(subject, images_BCHW), _gradients(subject, images_BCHW)
        if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
            return Finding(NAME, "fail", "gradients differ", "the same bits", "in train mode, from the same seed")
        return Finding(
            NAME, "pass", "the same bits", "the same bits", "three answers, and two training steps of a seed"
        )
    return Finding(NAME, "pass", "the same bits", "the same bits", "three answers in eval mode")


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
