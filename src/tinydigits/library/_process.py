"""A caller's process is left as it was found."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["leaves_process_as_found"]

_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child of a process that is at work
    os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.RLock()))

_COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""torch's compiler sets it, to the place that it would take anyway."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def leaves_process_as_found(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A function that works in torch's usual state, and after which torch's state is as before, also after an error.

    >>> import torch
    >>> draw, before = leaves_process_as_found(lambda: torch.rand(3)), torch.get_rng_state()
    >>> bool((draw() == draw()).all() and (torch.get_rng_state() == before).all())
    True

    Within, tensors are float32 on the CPU where nothing else is said, and gradients are on. Random numbers and export
    belong to the whole process, so calls of several threads wait for one another; what another thread draws meanwhile
    by itself, changes what is drawn here. Signal handlers, warnings and the allocator are put back where they are
    changed.
    """

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        import torch

        from tinydigits.training import limit_threads

        is_set = _COMPILER_CACHE in os.environ
        try:
            with _lock, torch.random.fork_rng(), limit_threads(None), _usual_state():
                return function(*args, **kwargs)
        finally:
            if not is_set:
                os.environ.pop(_COMPILER_CACHE, None)

    return call


@contextmanager
def _usual_state() -> Iterator[None]:
    import torch

    dtype, is_on_cpu = torch.get_default_dtype(), torch.get_default_device().type == "cpu"
    # torch's context for a device slows every call: where it is the CPU already, there is none.
    with torch.inference_mode(False), torch.enable_grad(), nullcontext() if is_on_cpu else torch.device("cpu"):
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
