"""One batch can be learned by heart: the architecture, its gradients and its loss fit together.

The oldest test of a network (A. Karpathy, A recipe for training neural networks, 2019): whoever cannot learn five
images cannot learn sixty thousand. The images are real (digits of scikit-learn's bundled set, brought to the model's
size), so that pooling models, which see little but texture in random noise, have something to hold on to. The labels
are moved round by one, so that trained weights do not know them already. Train mode, Adam, at most `steps` steps; it
stops as soon as every image is right and the loss is well under what it was. Five images, and no lower loss, since a
hundred parameters behind a global pool, or a last layer that gives probabilities, are honest too.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tinydigits import data
from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.verdict import Finding

NAME = "behaviour.overfit_batch"
NEEDS = ("train", "gradients")
ADVICE = "Look for layers that lose what they were given (a ReLU at the end, too narrow a bottleneck, much dropout)."


class Limits(_limits.Limits):
    """`true`, or `{steps = 300, lr = 0.01}` of Adam."""

    steps: int = Field(300, ge=1, description="training steps at most")
    lr: float = Field(0.01, gt=0, description="learning rate of these steps")

    def text(self) -> str:
        return f"{_NUM_IMAGES} images learned within {self.steps} steps"


_NUM_IMAGES = 5
_SHARE_OF_LOSS = 0.7


def check(subject: Subject, limits: Limits) -> Finding:
    """Train a copy on one batch until it knows it, or the steps are over."""
    images_BCHW, labels_B = _batch(subject)
    best = 0
    with subject.borrow(train=True) as model:
        parameters = [p for p in model.parameters() if p.requires_grad]
        if not parameters:
            return Finding(NAME, "fail", "nothing to train", "", "no parameter asks for a gradient")
        optimizer = torch.optim.Adam(parameters, lr=limits.lr)
        losses: list[float] = []
        for step in range(limits.steps + 1):
            logits_BK = logits_of(model, images_BCHW).float()
            loss = F.cross_entropy(logits_BK, labels_B)  # of probabilities, too: it falls as they become right
            losses.append(loss.item())
            best = max(best, int((logits_BK.argmax(1) == labels_B).sum()))
            if best == len(labels_B) and min(losses) <= _SHARE_OF_LOSS * losses[0]:
                break
            if step < limits.steps:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    learned = best == len(labels_B) and min(losses) <= _SHARE_OF_LOSS * losses[0]
    return Finding.judge(
        NAME, learned, measured=f"{best} of {len(labels_B)} after {len(losses) - 1} steps",
        why=f"loss {losses[0]:.3f} → {min(losses):.3f}",
        details={"steps": len(losses) - 1, "first_loss": losses[0], "best_loss": min(losses), "right": best},
        value=float(len(losses) - 1),
    )  # fmt: skip


def _batch(subject: Subject) -> tuple[Tensor, Tensor]:
    """An image of each class, in the model's shape; random blots where that is no picture."""
    num_images, shape = min(_NUM_IMAGES, max(2, subject.num_classes)), subject.input_shape
    labels_B = ((torch.arange(num_images) + 1) % subject.num_classes).to(subject.device)
    if len(shape) != 3:
        return subject.images(num_images), labels_B
    digits = data.load("digits", "train")
    first = [int((digits.labels_N == label).argmax()) for label in range(num_images)]
    ink_BCHW = torch.from_numpy(digits.images_NHW[first])[:, None].float() / 255
    ink_BCHW = F.interpolate(ink_BCHW, shape[1:], mode="bilinear", antialias=True).expand(-1, shape[0], -1, -1)
    return subject.normalise(ink_BCHW), labels_B


class _Clipped(nn.Module):
    """Ends in a ReLU behind a bias of -10: no gradient gets through."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_model()

    def forward(self, images: Tensor) -> Tensor:
        return (self.inner(images) - 10).relu()


class _AlikeForAll(nn.Module):
    """Sees no more than the mean of a picture that was normalised to mean 0."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head((images - images.mean((1, 2, 3), keepdim=True)).mean((1, 2, 3))[:, None])


def _plain() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


EXAMPLES = (
    Example("pass", lambda: small(small_model(dropout=0.0)), says="5 of 5"),
    Example("pass", lambda: small(_plain()), says="5 of 5"),
    Example("fail", lambda: small(_Clipped()), {"steps": 50}, says="loss 2.303 → 2.303"),
    Example("fail", lambda: small(_AlikeForAll()), {"steps": 50}),
    Example("fail", lambda: small(small_model().requires_grad_(False)), says="no parameter"),
)
