"""A fresh model, by its registered name or its class."""

from __future__ import annotations

from typing import Any

from tinydigits import contract, models
from tinydigits.checks import Subject, isolated_random_state
from tinydigits.train import pick_device
from tinydigits.verify.targets._target import Asked, Target

KIND = "a model's name, file.py:Class or package.module:Class"
ORDER = 1


def takes(asked: Asked) -> bool:
    """A registered name, or whatever has a colon."""
    return asked.text is not None and (asked.text in models.names() or ":" in asked.text)


def load(asked: Asked) -> Target:
    """Build it with the same fresh weights each time; raises TinydigitsError when it cannot be built."""
    spec = str(asked.text)
    with isolated_random_state(seed=0):
        model = models.build(spec)
    subject = Subject(model, name=spec, spec=spec, device=str(pick_device(asked.device)))
    facts: dict[str, Any] = {"kind": "model", "name": spec, "model": spec, "options": {}, "weights_sha256": None}
    return Target(subject, facts, spec if spec in contract.names() else None)
