"""Training works: a few steps on one batch change the weights, keep them finite and lower the batch's loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.verdict import Finding

NAME = "behaviour.train_step"
NEEDS = ("train", "gradients")
ADVICE = (
    "Look at the last layer and the loss: logits go in, without softmax or ReLU behind them, and weights start small."
)


class Limits(_limits.Limits):
    """`true`, or `{steps = 5, lr = 0.001, batch_size = 32}` of Adam on random labels."""

    steps: int = Field(5, ge=1, description="how many training steps are made")
    lr: float = Field(1e-3, gt=0, description="learning rate of these steps")
    batch_size: int = Field(32, ge=1, description="how many images they see")


def check(subject: Subject, limits: Limits) -> Finding:
    """Take the steps on a copy; the loss before and after is measured with the same dropout masks."""
    images_BCHW, labels_B = subject.images(limits.batch_size), subject.labels(limits.batch_size)
    limit = f"a lower loss after {limits.steps} steps"
    with subject.borrow(train=True) as model:
        parameters = [p for p in model.parameters() if p.requires_grad]
        if not parameters:
            return Finding(NAME, "fail", "nothing to train", limit, "no parameter asks for a gradient")
        before = [p.detach().clone() for p in parameters]
        optimizer = torch.optim.Adam(parameters, lr=limits.lr)
        losses = []
        for step in range(limits.steps + 1):
            torch.manual_seed(0)  # the same dropout masks each time: only the weights differ
            loss = F.cross_entropy(logits_of(model, images_BCHW).float(), labels_B)
            losses.append(loss.item())
            if step < limits.steps:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        moved = sum(not torch.equal(p, old) for p, old in zip(parameters, before, strict=True))
        finite = all(bool(p.isfinite().all()) for p in parameters)
    details = {"losses": losses, "moved": moved, "parameters": len(parameters)}
    measured = f"loss {losses[0]:.4f} → {losses[-1]:.4f}"
    if not finite:
        return Finding(NAME, "fail", measured, limit, "weights became NaN or infinite", details)
    why = "" if moved == len(parameters) else f"{len(parameters) - moved} of {len(parameters)} tensors did not move"
    return Finding.judge(
        NAME, losses[-1] < losses[0] and moved > 0, measured=measured, limit=limit, why=why, details=details
    )


class _Uphill(nn.Module):
    """Turns its gradient round, so that every step makes it worse."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_model(dropout=0.0)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images)
        return 2 * logits.detach() - logits


class _InfiniteSlope(nn.Module):
    """Scales by a square root at zero, whose gradient is not a number."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(10))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :10] * self.gain.abs().sqrt()


EXAMPLES = (
    Example("pass", lambda: small(), says="loss"),
    Example("fail", lambda: small(_Uphill()), says="→"),
    Example("fail", lambda: small(small_model().requires_grad_(False)), says="no parameter"),
    Example("fail", lambda: small(_InfiniteSlope()), says="NaN"),
)
