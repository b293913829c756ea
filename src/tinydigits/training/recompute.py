"""Gradient checkpointing: activations computed again in the backward pass in place of being kept.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost". torch's own `torch.utils.checkpoint` is not used: at
its first call it imports torch's compiler, which takes more memory than is saved here, and BatchNorm under it counts
every batch twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tinydigits.errors import unknown_name
from tinydigits.training.distributed import batch_norms

__all__ = ["recompute"]


def recompute(model: nn.Module, names: Sequence[str], *, where: str = "model") -> None:
    """Let some parts of a model keep no activations: gradients stay the same to the bit, BatchNorm counts once.

    >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> recompute(model, ["0"])
    >>> model(torch.ones(3, 2)).sum().backward()
    >>> model[0].weight.grad.shape
    torch.Size([8, 2])

    `names` are those of `model.named_modules()`; each must take one tensor and give one. In eval mode, and without
    gradients, nothing changes. Raises TinydigitsError for a name that the model does not have.
    """
    parts = dict(model.named_modules())
    for name in names:
        if name not in parts:
            raise unknown_name(where, name, [path for path in parts if path], kind="module")
        module = parts[name]
        module.forward = partial(_forward, module, module.forward)


def _forward(module: nn.Module, forward: Any, features: Tensor) -> Tensor:
    if not (module.training and torch.is_grad_enabled()):
        return forward(features)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return _Recompute.apply(module, forward, features, *parameters)


class _Recompute(torch.autograd.Function):
    """Parameters are inputs too, so that gradients flow where the features need none, as the images do not."""

    @staticmethod
    def forward(ctx: Any, module: nn.Module, forward: Any, features: Tensor, *parameters: Tensor) -> Tensor:
        ctx.module, ctx.again = module, forward
        ctx.random = _random_state(features.device)
        kind = features.device.type
        ctx.autocast = (kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind))
        ctx.save_for_backward(features, *parameters)
        return forward(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        features, *parameters = ctx.saved_tensors
        own = features.detach().requires_grad_(ctx.needs_input_grad[2])
        kind, dtype, enabled = ctx.autocast
        with torch.enable_grad(), _statistics_kept(ctx.module), _random_numbers(ctx.random, features.device):
            with torch.autocast(kind, dtype, enabled=enabled):
                output = ctx.again(own)
            wanted = [*([own] if own.requires_grad else []), *parameters]
            computed = torch.autograd.grad(output, wanted, gradients[0], allow_unused=True)
        return (None, None, *([] if own.requires_grad else [None]), *computed)


@contextlib.contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """BatchNorm normalises by the batch and leaves its running statistics alone."""
    norms = [norm for norm in batch_norms(module) if norm.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


@contextlib.contextmanager
def _random_numbers(state: tuple[Tensor, Tensor | None], device: torch.device) -> Iterator[None]:
    """The random numbers of the first pass once more, for dropout."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1], device)
        yield
