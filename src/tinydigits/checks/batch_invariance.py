"""An image's answer does not depend on the images that share its batch, on their number, or on their order.

Not bitwise: other batch sizes take other paths through the matrix product and differ by about 4e-8 (measured).
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._limits import Count, Tolerance
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.verdict import Finding

NAME = "behaviour.batch_invariance"
ADVICE = "Let each image be answered by itself: no statistics over the batch in eval mode, no use of its order or size."


# The size of the batches in which images are evaluated.
_NUM_IMAGES = 100


class Limits(_limits.Limits):
    """`true`, or `{tolerance = 1e-4, batch_sizes = [1, 7, 32]}`; the difference is relative to the largest answer."""

    tolerance: Tolerance = Field(1e-4, description="the largest difference, relative to the largest answer")
    batch_sizes: tuple[Count, ...] = Field((1, 7, 32), min_length=1, description="how many images share a batch")


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask for the same images in batches of several sizes, in another order, and among other images."""
    images_BCHW = subject.images(_NUM_IMAGES)
    order_B = torch.randperm(_NUM_IMAGES, generator=torch.Generator().manual_seed(0))
    limit = f"the same answers within {limits.tolerance:g}"
    with subject.borrow() as model, torch.no_grad():
        together_BK = logits_of(model, images_BCHW)
        answers = {
            f"in batches of {size}": torch.cat([logits_of(model, part) for part in images_BCHW.split(size)])
            for size in limits.batch_sizes
        }
        answers["in another order"] = logits_of(model, images_BCHW[order_B])[order_B.argsort()]
        strangers = [subject.normalise(torch.full(images_BCHW.shape, grey)) for grey in (0.0, 1.0, 5.0)]
        answers["among black, white and glaring images"] = logits_of(model, torch.cat([images_BCHW, *strangers]))[
            :_NUM_IMAGES
        ]
    scale = together_BK.abs().max().clamp_min(1e-12)
    differences = {
        how: float(((answer_BK - together_BK).abs().max() / scale).nan_to_num(float("inf")))
        for how, answer_BK in answers.items()
    }
    worst = max(differences, key=lambda how: differences[how])
    holds = differences[worst] <= limits.tolerance
    return Finding.judge(
        NAME, holds, measured=f"within {differences[worst]:.1e}", limit=limit,
        why="" if holds else f"{worst} the answers differ", details=differences,
    )  # fmt: skip


class _ReadsTheBatch(nn.Module):
    """Normalises by the batch's own mean, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_model()

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images - images.mean())


EXAMPLES = (
    Example("pass", lambda: small()),
    Example("fail", lambda: small(_ReadsTheBatch()), says="differ"),
)
