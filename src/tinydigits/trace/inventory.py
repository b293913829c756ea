"""What a module holds, read from its own tables and not from methods that a subclass may have replaced."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from tinydigits.errors import TinydigitsError

__all__ = ["Contradiction", "Inventory", "duplicate", "fingerprint", "inventory", "set_mode"]


class Contradiction(TinydigitsError):
    """What a model says of itself is not what it does: its mode, or its traced graph."""


@dataclass(frozen=True)
class Inventory:
    """Modules, parameters and buffers by their full names.

    A module that is registered under several names stands under its first, with all that it holds; a tensor that
    several modules register stands under each of theirs.
    """

    modules: dict[str, nn.Module]
    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]

    @property
    def tensors(self) -> dict[str, Tensor]:
        return self.parameters | self.buffers


def inventory(model: nn.Module) -> Inventory:
    """Walk a module's tables, where every parameter, buffer and child stands that assigning an attribute registers.

    >>> sorted(inventory(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))).parameters)
    ['0.bias', '0.weight', '1.bias', '1.weight']
    """
    held = Inventory({}, {}, {})
    waiting: list[tuple[str, nn.Module]] = [("", model)]
    visited: set[int] = set()
    while waiting:
        path, module = waiting.pop()
        if id(module) in visited:
            continue
        visited.add(id(module))
        held.modules[path] = module
        prefix = f"{path}." if path else ""
        children, parameters, buffers = _tables(module)
        held.parameters.update({prefix + name: p for name, p in parameters.items() if p is not None})
        held.buffers.update({prefix + name: b for name, b in buffers.items() if b is not None})
        waiting += [(prefix + name, child) for name, child in reversed(children.items()) if child is not None]
    return held


def _tables(module: nn.Module) -> tuple[dict[str, nn.Module], dict[str, Tensor], dict[str, Tensor]]:
    if isinstance(module, torch.jit.ScriptModule):  # compiled: its tables lie in C++, and its methods are torch's own
        return (
            dict(module.named_children()), dict(module.named_parameters(recurse=False)),
            dict(module.named_buffers(recurse=False)),
        )  # fmt: skip
    own = object.__getattribute__(module, "__dict__")
    return own["_modules"], own["_parameters"], own["_buffers"]


def duplicate(model: nn.Module) -> nn.Module:
    """A deep copy.

    >>> duplicate(nn.Linear(2, 3)).weight.shape
    torch.Size([3, 2])

    Raises TinydigitsError when Python cannot copy the model.
    """
    where = f"model {type(model).__name__}"
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a user's module may hold anything
        raise TinydigitsError(where, f"cannot be copied: {first_line(error)}") from error


def set_mode(model: nn.Module, train: bool) -> nn.Module:
    """Ask the model for train or eval mode.

    >>> set_mode(nn.Sequential(nn.Dropout()), train=False)[0].training
    False

    Raises Contradiction when it refuses eval mode; keeping a part in eval mode while the rest trains is allowed.
    """
    model.train(train)
    left = [path or type(model).__name__ for path, module in inventory(model).modules.items() if module.training]
    if left and not train:
        raise Contradiction(f"model {type(model).__name__}", f"eval() leaves {', '.join(left)} in train mode")
    return model


def fingerprint(model: nn.Module) -> int:
    """A number that every change of a weight changes: seeds drawn from it cannot be known before the weights are.

    >>> layer = nn.Linear(2, 2)
    >>> fingerprint(layer) == fingerprint(duplicate(layer))
    True
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(inventory(model).tensors.items()):
        digest.update(name.encode())
        if not is_lazy(tensor) and tensor.device.type != "meta":
            # A copy: one number of a longer tensor keeps its stride, and torch will not show the bytes of such a one.
            packed = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            digest.update(packed.flatten().view(torch.uint8).numpy().tobytes())
    return int.from_bytes(digest.digest()[:6], "big")


def first_line(error: Exception) -> str:
    """The error's kind and the first line of what it says."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
