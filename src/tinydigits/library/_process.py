"""A caller's process is left as it was found."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["leaves_process_as_found"]

_COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""torch's compiler sets it, to the place that it would take anyway."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def leaves_process_as_found(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A function after which torch's random numbers, threads and variable are as before, also after an error.

    >>> import torch
    >>> draw, before = leaves_process_as_found(lambda: torch.rand(3)), torch.get_rng_state()
    >>> bool((draw() == draw()).all() and (torch.get_rng_state() == before).all())
    True

    Signal handlers, warnings and the allocator are put back where they are changed.
    """

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        import torch

        from tinydigits.training import limit_threads

        is_set = _COMPILER_CACHE in os.environ
        try:
            with torch.random.fork_rng(), limit_threads(None):
                return function(*args, **kwargs)
        finally:
            if not is_set:
                os.environ.pop(_COMPILER_CACHE, None)

    return call
