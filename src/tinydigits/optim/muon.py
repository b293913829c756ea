"""Muon: momentum whose steps are made orthogonal, for the weights between channels; SGD for all others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["Muon", "hidden_weights"]

# a·x + b·x³ + c·x⁵ takes singular values between 0 and 1 near to 1 in five steps (Jordan et al. 2024).
_QUINTIC = (3.4445, -4.7750, 2.0315)


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised where a parameter group says so (Jordan et al. 2024, "Muon").

    >>> import torch
    >>> weight = torch.nn.Parameter(torch.zeros(2, 3, 1, 1))
    >>> optimizer = Muon([{"params": [weight], "orthogonal": True}], lr=0.1, momentum=0.9)
    >>> weight.grad = torch.tensor([[3.0, 0, 0], [0, 0.5, 0]]).view(2, 3, 1, 1)
    >>> optimizer.step()
    >>> weight.detach().flatten(1).norm(dim=1).round(decimals=1)
    tensor([0.1000, 0.1000])

    A kernel (O, I, H, W) counts as a matrix (O, I·H·W), as in airbench (Jordan 2024): its step has singular values near
    1, so every direction is learned at the same pace however small its gradient. `ns_steps` Newton-Schulz steps get it
    there, as in torch.optim.Muon, which takes matrices alone. Weight decay is decoupled from the gradient (Loshchilov,
    Hutter 2019).
    """

    def __init__(
        self, parameters: Iterable[Any], *, lr: float, momentum: float = 0.9, weight_decay: float = 0.0,
        ns_steps: int = 5, orthogonal: bool = False,
    ) -> None:  # fmt: skip
        defaults = {
            "lr": lr, "momentum": momentum, "weight_decay": weight_decay,
            "ns_steps": ns_steps, "orthogonal": orthogonal,
        }  # fmt: skip
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            gradients = [parameter.grad for parameter in parameters]
            for parameter in parameters:
                if parameter not in self.state:
                    self.state[parameter]["momentum"] = torch.zeros_like(parameter)
            buffers = [self.state[parameter]["momentum"] for parameter in parameters]
            torch._foreach_mul_(buffers, momentum)
            torch._foreach_add_(buffers, gradients)
            steps = list(torch._foreach_add(gradients, buffers, alpha=momentum))
            if group["orthogonal"]:
                steps = [_orthogonalise(step.flatten(1), group["ns_steps"]).view_as(step) for step in steps]
            torch._foreach_mul_(parameters, 1 - lr * group["weight_decay"])
            torch._foreach_add_(parameters, steps, alpha=-lr)


def hidden_weights(model: nn.Module) -> list[nn.Parameter]:
    """The trainable weights that mix channels inside a model: not the first layer's, not the classifier's.

    >>> from tinydigits import models
    >>> [tuple(weight.shape) for weight in hidden_weights(models.build("two-conv"))]
    [(8, 4, 3, 3), (32, 392)]

    A weight with a single input for each output (a depthwise kernel, the first layer on grey images) is no matrix worth
    orthogonalising; input layer and classifier are left out as its author advises.
    """
    mixing = [parameter for parameter in model.parameters() if parameter.ndim >= 2 and parameter.shape[1] > 1]
    return [parameter for parameter in mixing[:-1] if parameter.requires_grad]


def _orthogonalise(step_OI: Tensor, ns_steps: int) -> Tensor:
    """The matrix with the same singular vectors and singular values near √max(1, O/I), by Newton-Schulz steps."""
    a, b, c = _QUINTIC
    num_out, num_in = step_OI.shape
    wide = step_OI.T if num_out > num_in else step_OI
    wide = wide / (wide.norm() + 1e-7)
    for _ in range(ns_steps):
        square = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(square, square, square, beta=b, alpha=c), wide, beta=a)
    return (wide.T if num_out > num_in else wide) * max(1.0, num_out / num_in) ** 0.5
