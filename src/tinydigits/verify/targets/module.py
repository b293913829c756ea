"""A module that is already in memory: `verify(my_model, "under-25k")`."""

from __future__ import annotations

from torch import nn

from tinydigits.checks import Subject
from tinydigits.train import pick_device
from tinydigits.verdict import JudgedTarget
from tinydigits.verify.targets._target import Asked, Kind, Target


def takes(asked: Asked) -> bool:
    """A module instead of a name."""
    return isinstance(asked.target, nn.Module)


def load(asked: Asked) -> Target:
    """Nothing to load; its weights are taken for trained ones."""
    model = asked.target
    assert isinstance(model, nn.Module)
    name = type(model).__name__
    subject = Subject(model, name=name, device=str(pick_device(asked.device)), trained=True)
    return Target(subject, JudgedTarget(kind="module", name=name, model=name))


KIND = Kind("a torch module", 0, takes, load)
