"""Saved and loaded, the model gives the same answers to the last bit.

The state dict is written, read back with `weights_only=True` and loaded into a model that was built anew where it has a
name, else into a copy whose weights were wiped. Weights that the state dict does not hold are lost on the way. It is
done twice, the second time with all parameters changed a little: so it is the file that decides the answers, and
nothing that the model keeps elsewhere.
"""

from __future__ import annotations

import io

import torch
from torch import Tensor, nn

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._subject import Subject, isolated_random_state, logits_of
from tinydigits.trace import inventory, set_mode
from tinydigits.verdict import Finding

NAME = "behaviour.save_and_load"
NEEDS = ("state",)
ADVICE = "Keep all that decides the answer in parameters and buffers, so that `state_dict()` holds it."

_CHANGE = 0.1


class Limits(_limits.Limits):
    """`true`."""


def check(subject: Subject, limits: Limits) -> Finding:
    """Go twice through a file in memory."""
    differences = []
    for change in (0.0, _CHANGE):
        before_BK, after_BK, num_bytes = _round_trip(subject, change)
        same = torch.equal(before_BK, after_BK)
        differences.append(0.0 if same else float((after_BK - before_BK).abs().max().nan_to_num(float("inf"))))
    how = "a copy with its weights wiped" if subject.rebuild is None else "a model built anew"
    why = f"{num_bytes:,} bytes, loaded into {how}"
    if differences[1] and not differences[0]:
        why += "; with changed weights, what comes back is not what was saved"
    return Finding.judge(
        NAME, not any(differences), limit="the same bits", why=why, details={"bytes": num_bytes},
        measured="the same bits" if not any(differences) else f"differs by {max(differences):.1e}",
    )  # fmt: skip


def _round_trip(subject: Subject, change: float) -> tuple[Tensor, Tensor, int]:
    """Answers before and after, and the size of the file; `change` is the spread of what is added to the parameters."""
    images_BCHW = subject.images(8)
    file = io.BytesIO()
    with subject.borrow() as model, torch.no_grad():
        if change:
            for p in inventory(model).parameters.values():
                p.add_(change * torch.randn(p.shape).to(p)) if p.is_floating_point() else p
        before_BK = logits_of(model, images_BCHW)
        torch.save(model.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True, map_location=subject.device)
    with isolated_random_state(seed=1), torch.no_grad():
        if subject.rebuild is not None:
            fresh = subject.rebuild().to(subject.device)
        else:
            fresh = subject.duplicate()
            for tensor in inventory(fresh).tensors.values():
                tensor.zero_()
        fresh.load_state_dict(state)
        return before_BK, logits_of(set_mode(fresh, train=False), images_BCHW), file.getbuffer().nbytes


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
    Example("pass", lambda: small(rebuild=small_model), says="built anew"),
    Example("fail", lambda: small(_NotInTheState()), says="differs"),
)
