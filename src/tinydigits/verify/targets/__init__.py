"""What can be verified: a kind in each file, found by folder.

A file of this folder has `KIND` (what it is, in words), `ORDER` (kinds that look more closely are asked first),
`takes(asked)`, whether the target is one of its kind, and `load(asked)`, which gives the `Target`. With `BUILDS`, it is
built from nothing, so that it can be given weights and options. With `NAMES_CODE` it says itself what model it is of,
and the user can name the code for it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from tinydigits import models
from tinydigits.errors import TinydigitsError, foreign_code
from tinydigits.verify.targets._target import Asked, InputSaid, Target

__all__ = ["Asked", "InputSaid", "Target", "find", "kinds"]


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
            if (asked.weights is not None or asked.options) and not getattr(kind, "BUILDS", False):
                raise TinydigitsError(
                    f"target {asked.text}", "has weights and options of its own",
                    hint="--weights and --set go with a model's name or class",
                )  # fmt: skip
            if asked.model is not None and not getattr(kind, "NAMES_CODE", False):
                raise TinydigitsError(
                    f"target {asked.text}", "names no code", hint="--model goes with a run or a file of weights"
                )
            with foreign_code(f"target {asked.text}", "when it is loaded"):
                target: Target = kind.load(asked)
            return target
    raise TinydigitsError(
        f"target {asked.text}", "is nothing that can be verified",
        expected=f"one of: {'; '.join(kinds())}. The models are {', '.join(models.names())}", hint="tinydigits runs ls",
    )  # fmt: skip


@cache
def _found() -> tuple[ModuleType, ...]:
    names = [entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_")]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(sorted(modules, key=lambda module: (module.ORDER, module.__name__)))
