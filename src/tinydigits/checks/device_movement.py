"""The model moves to another device and back and gives the same answers.

On a machine with CUDA or MPS it is moved there. On one with a CPU only, it is moved to float64 and back, and the
forward pass is dry-run on torch's meta device, which computes nothing but refuses to mix devices: so a tensor that
`model.to` leaves behind is found without a second device. The finding says which of the two was done.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tinydigits.checks import _limits
from tinydigits.checks._examples import Example, small, small_model
from tinydigits.checks._limits import Tolerance
from tinydigits.checks._subject import Subject, logits_of
from tinydigits.verdict import Finding

NAME = "behaviour.device_movement"
NEEDS = ("devices",)
ADVICE = "Make every tensor that the model keeps a parameter or a buffer, and new ones with `device=images.device`."


class Limits(_limits.Limits):
    """`true`, or `{tolerance = 1e-3}`: the largest difference, relative to the largest answer."""

    tolerance: Tolerance = Field(1e-3, description="the largest difference, relative to the largest answer")


def check(subject: Subject, limits: Limits) -> Finding:
    """Compare the answers before, on the way and after."""
    other = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else None
    images_BCHW = subject.images(8).cpu()
    limit = f"the same answers within {limits.tolerance:g}"
    with subject.borrow() as model, torch.no_grad():
        before_BK = logits_of(model.to("cpu"), images_BCHW)
        try:
            if other is not None:
                route = f"cpu → {other} → cpu"
                there_BK = logits_of(model.to(other), images_BCHW.to(other)).cpu()
            else:
                route = "cpu → float64 → cpu"
                there_BK = logits_of(model.double(), images_BCHW.double()).to(before_BK.dtype)
                _dry_run(subject, images_BCHW)
            model.to("cpu")
            after_BK = logits_of(model.float() if before_BK.dtype == torch.float32 else model, images_BCHW)
        except Exception as error:  # whatever mixing devices or types raises
            return Finding(
                NAME, "fail", "does not move", limit, f"{type(error).__name__}: {str(error).splitlines()[0]}"
            )
    difference = max(_difference(before_BK, there_BK), _difference(before_BK, after_BK))
    why = f"moved {route}"
    if other is None:
        why += "; there is no second device here, so a dry run on torch's meta device looked for tensors left behind"
    return Finding.judge(
        NAME, difference <= limits.tolerance, measured=f"within {difference:.1e}", limit=limit, why=why,
        details={"route": route, "difference": difference},
    )  # fmt: skip


def _dry_run(subject: Subject, images_BCHW: Tensor) -> None:
    # NotImplementedError: an operation without a meta form, or one that reads values. Nothing to learn there.
    with subject.borrow() as model, contextlib.suppress(NotImplementedError), _CopiesOut():
        logits_of(model.to("meta"), images_BCHW.to("meta"))


class _CopiesOut(TorchDispatchMode):
    """Lets a meta tensor be copied to the CPU, as one on a real device can be: what it then meets there must fit."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        to = torch.device(kwargs.get("device") or "meta")
        if func is torch.ops.aten._to_copy.default and args[0].is_meta and to.type == "cpu":
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        return func(*args, **kwargs)


def _difference(expected: Tensor, got: Tensor) -> float:
    difference = (expected - got).abs().max() / expected.abs().max().clamp_min(1e-12)
    return float(difference.nan_to_num(float("inf")))


class _LeftBehind(nn.Module):
    """Holds a tensor that is neither parameter nor buffer, so `to` does not move it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = small_model(), torch.ones(10)

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images) * self.scale


EXAMPLES = (
    Example("pass", lambda: small(), says="moved cpu"),
    Example("fail", lambda: small(_LeftBehind()), says="does not move"),
)
