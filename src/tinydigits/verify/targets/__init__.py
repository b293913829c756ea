"""What can be verified: a kind in each file, found by folder.

A file of this folder has `KIND` (what it is, in words), `ORDER` (kinds that look more closely are asked first),
`takes(asked)`, whether the target is one of its kind, and `load(asked)`, which gives the `Target`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from tinydigits import models
from tinydigits.errors import TinydigitsError
from tinydigits.verify.targets._target import Asked, Target

__all__ = ["Asked", "Target", "find", "kinds"]


def kinds() -> list[str]:
    """What a target can be, in words.

    >>> "a run's folder" in kinds()
    True
    """
    return [kind.KIND for kind in _found()]


def find(asked: Asked) -> Target:
    """Load what was named; raises TinydigitsError when no kind takes it, or when it is damaged."""
    for kind in _found():
        if kind.takes(asked):
            target: Target = kind.load(asked)
            return target
    raise TinydigitsError(
        f"target {asked.text}", "is neither a run's folder nor a model",
        expected=f"{', '.join(kinds())}; the models are {', '.join(models.names())}", hint="tinydigits runs ls",
    )  # fmt: skip


@cache
def _found() -> tuple[ModuleType, ...]:
    names = [entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_")]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(sorted(modules, key=lambda module: (module.ORDER, module.__name__)))
