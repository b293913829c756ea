"""A trained model that comes with the package: a run like any other, but nothing is written into it."""

from __future__ import annotations

from dataclasses import replace

from tinydigits import pretrained
from tinydigits.verify.targets import run
from tinydigits.verify.targets._target import Asked, Kind, Target


def takes(asked: Asked) -> bool:
    """A name of the room `pretrained`."""
    return asked.text in pretrained.names()


def load(asked: Asked) -> Target:
    """Read its weights, record and recipe."""
    found = pretrained.find(asked.text)
    target = run.load(replace(asked, target=str(found.run.folder)))
    return replace(target, facts=target.facts.model_copy(update={"kind": "pretrained"}), run=None)


KIND = Kind("a trained model of `tinydigits models ls`", 1, takes, load)
