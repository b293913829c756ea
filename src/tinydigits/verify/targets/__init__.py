"""What can be verified: a kind in each file, found by folder.

A file of this folder has `KIND`, a `Kind`.
"""

from __future__ import annotations

from functools import cache

from tinydigits import models
from tinydigits.errors import TinydigitsError, foreign_code
from tinydigits.plugins import Plugins
from tinydigits.verify.targets._target import Asked, InputSaid, Kind, Target

__all__ = ["Asked", "InputSaid", "Target", "find", "kinds"]


def kinds() -> list[str]:
    """What a target can be, in words.

    >>> "a run's folder" in kinds()
    True
    """
    return [kind.name for kind in _kinds()]


def find(asked: Asked) -> Target:
    """Load what was named; raises TinydigitsError when no kind takes it, or when it is damaged."""
    for kind in _kinds():
        if kind.takes(asked):
            if (asked.weights is not None or asked.options) and not kind.builds:
                raise TinydigitsError(
                    f"target {asked.text}", "has weights and options of its own",
                    hint="--weights and --set go with a model's name or class",
                )  # fmt: skip
            if asked.model is not None and not kind.names_code:
                raise TinydigitsError(
                    f"target {asked.text}", "names no code", hint="--model goes with a run or a file of weights"
                )
            with foreign_code(f"target {asked.text}", "when it is loaded"):
                target = kind.load(asked)
            return target
    raise TinydigitsError(
        f"target {asked.text}", "is nothing that can be verified",
        expected=f"one of: {'; '.join(kinds())}. The models are {', '.join(models.names())}", hint="tinydigits runs ls",
    )  # fmt: skip


@cache
def _kinds() -> tuple[Kind, ...]:
    plugins: Plugins[Kind] = Plugins(__name__, "KIND", where="target", kind="kind")
    return tuple(sorted(plugins.all(), key=lambda kind: kind.order))
