"""torch's optimizers, with the constants of a recipe."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tinydigits.recipe.fields import OptimizerPart

__all__ = ["build_optimizer"]


def build_optimizer(model: nn.Module, part: OptimizerPart) -> Optimizer:
    """The optimizer that a recipe names, over all of a model's trainable parameters.

    >>> import tinydigits.models, tinydigits.recipe
    >>> recipe = tinydigits.recipe.load("gap-cnn")
    >>> type(build_optimizer(tinydigits.models.build("gap-cnn"), recipe.optimizer)).__name__
    'Adam'

    The fused kernels are used: one call per step instead of several per parameter, which is what counts for models
    this small.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    common: dict[str, Any] = {"lr": part.lr, "weight_decay": part.weight_decay, "fused": True}
    if part.name == "sgd":
        return torch.optim.SGD(parameters, momentum=part.momentum, nesterov=part.nesterov, **common)
    kind = torch.optim.Adam if part.name == "adam" else torch.optim.AdamW
    return kind(parameters, betas=part.betas, eps=part.eps, **common)
