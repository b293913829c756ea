"""What can be verified: a kind in each file, found by folder.

A file of this folder has `KIND`, a `Kind`.
"""

from __future__ import annotations

from functools import cache

from torch import nn

from tinydigits import models
from tinydigits.errors import TinydigitsError, foreign_code
from tinydigits.plugins import Plugins
from tinydigits.verification.request import Request
from tinydigits.verification.targets._target import Kind, Target, of_module

__all__ = ["Target", "find", "kinds"]


def kinds() -> list[str]:
    """What a target can be, in words.

    >>> "a run's folder" in kinds()
    True
    """
    return [kind.name for kind in _kinds()]


def find(request: Request, module: nn.Module | None = None) -> Target:
    """Load what is named, or take the module; raises TinydigitsError where no kind takes it, or it is damaged."""
    kind = None if module is not None else next((kind for kind in _kinds() if kind.takes(request)), None)
    where = f"target {request.name}"
    if kind is None and module is None:
        raise TinydigitsError(
            where, "is nothing that can be verified", hint="tinydigits runs ls",
            expected=f"one of: {'; '.join(kinds())}. The models are {', '.join(models.names())}",
        )  # fmt: skip
    if (request.weights is not None or request.options) and not (kind and kind.builds):
        hint = "--weights and --set go with a model's name or class"
        raise TinydigitsError(where, "has weights and options of its own", hint=hint)
    if request.model is not None and not (kind and kind.names_code):
        raise TinydigitsError(where, "names no code", hint="--model goes with a run or a file of weights")
    with foreign_code(where, "when it is loaded"):
        target = kind.load(request) if kind is not None else of_module(module, request.device)
    return target


@cache
def _kinds() -> tuple[Kind, ...]:
    plugins: Plugins[Kind] = Plugins(__name__, "KIND", where="target", kind="kind")
    return tuple(sorted(plugins.all(), key=lambda kind: kind.order))
