"""Saved and loaded, the model gives the same answers to the last bit.

The state dict is written, read back with `weights_only=True` and loaded into a model that was built anew where it has a
name, else into a copy whose weights were wiped. Weights that the state dict does not hold are lost on the way.
"""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn

from tinydigits import models
from tinydigits.checks import _finding
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._finding import Finding
from tinydigits.checks._subject import Subject, isolated_random_state, logits_of

NAME = "behaviour.save_and_load"
ADVICE = "Keep all that decides the answer in parameters and buffers, so that `state_dict()` holds it."


class Limits(_finding.Limits):
    """`true`."""


def check(subject: Subject, limits: Limits) -> Finding:
    """Go once through a file in memory."""
    images_BCHW = subject.images(8)
    file = io.BytesIO()
    with subject.borrow() as model, torch.no_grad():
        before_BK = logits_of(model, images_BCHW)
        torch.save(model.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True, map_location=subject.device)
    with isolated_random_state(seed=1), torch.no_grad():
        if subject.spec is not None:
            fresh, how = models.build(subject.spec, subject.options).to(subject.device), "a model built anew"
        else:
            fresh, how = subject.duplicate(), "a copy with its weights wiped"
            for tensor in (*fresh.parameters(), *fresh.buffers()):
                tensor.zero_()
        fresh.load_state_dict(state)
        after_BK = logits_of(fresh.eval(), images_BCHW)
    difference = float((after_BK - before_BK).abs().max())
    same = torch.equal(before_BK, after_BK)
    return Finding.judge(
        NAME, same, measured="the same bits" if same else f"differs by {difference:.1e}", limit="the same bits",
        why=f"{file.tell():,} bytes, loaded into {how}", details={"bytes": file.getbuffer().nbytes},
    )  # fmt: skip


class _NotInTheState(nn.Module):
    """Keeps a buffer out of the state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_model()
        self.register_buffer("scale", torch.full((10,), 3.0), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images) * self.scale


EXAMPLES = (
    Example("pass", lambda: small(), says="wiped"),
    Example("pass", lambda: Subject(models.build("two-conv"), name="two-conv", spec="two-conv"), says="built anew"),
    Example("fail", lambda: small(_NotInTheState()), says="differs"),
)
