"""A trained model that comes with the package: a run like any other, but nothing is written into it."""

from __future__ import annotations

from dataclasses import replace

from tinydigits import pretrained
from tinydigits.verification.request import Request
from tinydigits.verification.targets import run
from tinydigits.verification.targets._target import Kind, Target


def takes(request: Request) -> bool:
    """A name of the room `pretrained`."""
    return request.name in pretrained.names()


def load(request: Request) -> Target:
    """Read its weights, record and recipe."""
    folder = pretrained.find(request.name).folder
    target = run.load(request.model_copy(update={"target": str(folder)}))
    return replace(target, facts=target.facts.model_copy(update={"kind": "pretrained"}), run=None)


KIND = Kind("a trained model of `tinydigits models ls`", 1, takes, load)
