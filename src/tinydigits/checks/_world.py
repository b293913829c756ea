"""What a forward pass asks of the world: the clock, files, the environment, random numbers, its callers."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import torch

__all__ = ["asks_for"]

_WORLD = frozenset({
    "_random", "_socket", "datetime", "inspect", "os", "posix", "nt", "random", "secrets", "socket", "subprocess",
    "time", "uuid",
})  # fmt: skip
_FUNCTIONS = frozenset({"sys._getframe", "sys._current_frames", "gc.get_objects", "gc.get_referrers"})
_FILES = frozenset({"_io.open", "io.open", "_io.open_code", "mmap.mmap"})
# Their own bookkeeping, as when torch looks for a debugger or a warning is shown, changes no answer.
_BOOKKEEPING = ("torch", "logging", "warnings", "importlib", "linecache", "tokenize", "threading", "contextlib")


def asks_for(call: Callable[[], Any]) -> list[str]:
    """The functions outside of torch that a call uses and that can give another result each time, by their names.

    >>> import time
    >>> asks_for(lambda: time.time() > 0), asks_for(lambda: torch.ones(2) + 1)
    (['time.time'], [])

    Random generators that the call moved are named too. Every Python call and every call of a C function in this thread
    is seen, by Python's profiling hook.
    """
    names: dict[str, None] = {}

    def see(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            name, caller = _name(argument), frame
        elif event == "call":
            name, caller = f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_name}", frame.f_back or frame
        else:
            return
        room = str(caller.f_globals.get("__name__", "")).partition(".")[0]
        if name in _FILES:
            seen = room not in ("importlib", "linecache", "tokenize")
        else:  # a library's inner steps add nothing to the call that led to them
            seen = room not in _BOOKKEEPING and room not in _WORLD
            seen &= name.partition(".")[0] in _WORLD or name in _FUNCTIONS
        if seen:
            names[name] = None

    before = _generators()
    profile = sys.getprofile()
    sys.setprofile(see)
    try:
        call()
    finally:
        sys.setprofile(profile)
    moved = [name for name, state in _generators().items() if state != before[name]]
    return [*names, *(f"random numbers of {name}" for name in moved)]


def _name(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None)
    if module is None and owner is not None:
        module = (owner if isinstance(owner, type) else type(owner)).__module__
    return f"{module}.{getattr(function, '__name__', '')}"


def _generators() -> dict[str, object]:
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "Python": random.getstate(),
        "NumPy": str(np.random.get_state()),  # noqa: NPY002 (a model may use either)
    }
