"""torch's optimizers and Muon, with the constants of a recipe and without the import of torch's compiler."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from tinydigits.optim.muon import Muon, hidden_weights
from tinydigits.recipe.fields import OptimizerPart

__all__ = ["build_optimizer"]

_KINDS: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def build_optimizer(model: nn.Module, part: OptimizerPart) -> Optimizer:
    """The optimizer that a recipe names, over all of a model's trainable parameters.

    >>> import tinydigits.models, tinydigits.recipe
    >>> recipe = tinydigits.recipe.load("gap-cnn")
    >>> type(build_optimizer(tinydigits.models.build("gap-cnn"), recipe.optimizer)).__name__
    'Adam'

    torch's fused kernels are used: one call per step instead of several per parameter, which is what counts for models
    this small. Muon has two groups of parameters: those that it makes orthogonal, and the others at their own rate.
    """
    if part.name == "muon":
        return _build_muon(model, part)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    constants: dict[str, Any] = {"lr": part.lr, "weight_decay": part.weight_decay, "fused": True}
    if part.name == "sgd":
        constants |= {"momentum": part.momentum, "nesterov": part.nesterov}
    else:
        constants |= {"betas": part.betas, "eps": part.eps}
    return _without_compiler(_KINDS[part.name])(parameters, **constants)


def _build_muon(model: nn.Module, part: OptimizerPart) -> Optimizer:
    hidden = hidden_weights(model)
    chosen = set(map(id, hidden))
    others = [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in chosen]
    other_lr = part.other_lr or part.lr
    groups = [
        {"params": hidden, "orthogonal": True},
        {"params": others, "lr": other_lr, "lr_scale": other_lr / part.lr},
    ]
    constants = {"lr": part.lr, "momentum": part.momentum, "weight_decay": part.weight_decay}
    if part.ns_steps is not None:
        constants["ns_steps"] = part.ns_steps
    return _without_compiler(Muon)(groups, **constants)


@cache
def _without_compiler(kind: Any) -> Callable[..., Optimizer]:
    """A torch optimizer that does not import torch's compiler: 822 modules, a second and 75 MB, for nothing here.

    torch imports it at the first `step`, to mark a graph break, and at the first call of four methods, to mark them as
    not to be compiled. A subclass has the functions within those marks; torch's own classes stay as they are. A copy
    and what is pickled are of torch's class.
    """
    names = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    methods["__reduce__"] = lambda optimizer: (object.__new__, (kind,), optimizer.__getstate__())
    return type(kind.__name__, (kind,), methods | {"__doc__": kind.__doc__})
