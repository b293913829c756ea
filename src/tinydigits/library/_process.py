"""A caller's process is left as it was found."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["leaves_process_as_found"]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def leaves_process_as_found(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """A function after which torch's random numbers and the environment are as before, also after an error.

    >>> import torch
    >>> draw, before = leaves_process_as_found(lambda: torch.rand(3)), torch.get_rng_state()
    >>> bool((draw() == draw()).all() and (torch.get_rng_state() == before).all())
    True

    Signal handlers, threads, warnings and the allocator are put back where they are changed.
    """

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        import torch

        environment = dict(os.environ)
        try:
            with torch.random.fork_rng():
                return function(*args, **kwargs)
        finally:
            for name in os.environ.keys() - environment.keys():
                del os.environ[name]
            os.environ.update(environment)

    return call
