"""What can be verified: a kind in each file, found by folder.

A file of this folder has `KIND` (what it is, in words), `ORDER` (kinds that look more closely are asked first),
`takes(request)`, whether the target is one of its kind, and `load(request)`, which gives the `Target`. With `BUILDS`,
it is built from nothing, so that it can be given weights and options. With `NAMES_CODE` it says itself what model it is
of, and the user can name the code for it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from torch import nn

from tinydigits import models
from tinydigits.errors import TinydigitsError, foreign_code
from tinydigits.verification.request import Request
from tinydigits.verification.targets._target import Target, of_module

__all__ = ["Target", "find", "kinds"]


def kinds() -> list[str]:
    """What a target can be, in words.

    >>> "a run's folder" in kinds()
    True
    """
    return [kind.KIND for kind in _kinds()]


def find(request: Request, module: nn.Module | None = None) -> Target:
    """Load what is named, or take the module; raises TinydigitsError where no kind takes it, or it is damaged."""
    kind = None if module is not None else next((kind for kind in _kinds() if kind.takes(request)), None)
    where = f"target {request.name}"
    if kind is None and module is None:
        raise TinydigitsError(
            where, "is nothing that can be verified", hint="tinydigits runs ls",
            expected=f"one of: {'; '.join(kinds())}. The models are {', '.join(models.names())}",
        )  # fmt: skip
    if (request.weights is not None or request.options) and not getattr(kind, "BUILDS", False):
        hint = "--weights and --set go with a model's name or class"
        raise TinydigitsError(where, "has weights and options of its own", hint=hint)
    if request.model is not None and not getattr(kind, "NAMES_CODE", False):
        raise TinydigitsError(where, "names no code", hint="--model goes with a run or a file of weights")
    with foreign_code(where, "when it is loaded"):
        target: Target = kind.load(request) if kind is not None else of_module(module, request.device)
    return target


@cache
def _kinds() -> tuple[ModuleType, ...]:
    names = [entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_")]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(sorted(modules, key=lambda module: (module.ORDER, module.__name__)))
