"""No NaN and no infinity, for usual images and for extreme ones, in eval and in train mode."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.verdict import Finding

NAME = "behaviour.finite"
ADVICE = "Guard divisions, logarithms and square roots with a small constant; clamp what can grow without bound."


class Limits(_limits.Limits):
    """`true`, or `{factor = 100.0}`: how far beyond white the brightest input goes."""

    factor: float = Field(100.0, ge=1, description="how many times as bright the brightest images are")


def check(subject: Subject, limits: Limits) -> Finding:
    """Ask for each kind of image and name the first whose answer is not finite."""
    shape = (4, *subject.input_shape)
    dot = torch.zeros(shape)
    dot[..., -1] = 1.0
    blots = subject.images(32)
    inputs = {
        "usual images": blots,
        "black": subject.normalise(torch.zeros(shape)),
        "white": subject.normalise(torch.ones(shape)),
        "an edge alone": subject.normalise(dot),
        f"{limits.factor:g} times as bright": blots * limits.factor,
        f"{limits.factor:g} times as bright, inverted": -blots * limits.factor,
        "zeros": torch.zeros(shape, device=subject.device),
    }
    for train in subject.modes:
        mode = "train" if train else "eval"
        with subject.borrow(train=train) as model, torch.no_grad():
            for what, images_BCHW in inputs.items():
                output_BK = logits_of(model, images_BCHW)
                if not output_BK.isfinite().all():
                    classes = (~output_BK.isfinite()).flatten(1).any(0).nonzero().flatten().tolist()
                    return Finding(
                        NAME, "fail", "NaN or infinite", "finite answers",
                        f"{what}, in {mode} mode, class {', '.join(map(str, classes))}",
                    )  # fmt: skip
    modes = "eval and train mode" if True in subject.modes else f"eval mode; {subject.lacks['train']}"
    return Finding(NAME, "pass", "all finite", "finite answers", f"{', '.join(inputs)}; in {modes}")


class _Squares(nn.Module):
    """Divides by the image's own spread, which is nothing for a black image."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_model()

    def forward(self, images: Tensor) -> Tensor:
        return self.inner((images - images.mean((2, 3), keepdim=True)) / images.std((2, 3), keepdim=True))


EXAMPLES = (
    Example("pass", lambda: small(), says="all finite"),
    Example("fail", lambda: small(_Squares()), says="black, in eval mode"),
)
