"""Where a training runs: its device, and how many threads torch takes on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from tinydigits import machine
from tinydigits.errors import TinydigitsError
from tinydigits.recipe import Recipe
from tinydigits.training.distributed import local_device

__all__ = ["default_threads", "limit_threads", "pick_device"]

_SMALL_BATCH = 64


def pick_device(name: str) -> torch.device:
    """The device of a name: `auto` is CUDA, then MPS, then the CPU; raises TinydigitsError for one that is not here.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = local_device(torch.device(name))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise TinydigitsError(
            "device", got=repr(name), expected="auto, cpu, or a CUDA or MPS device of this machine"
        ) from error
    return device


def default_threads(recipe: Recipe) -> int:
    """One thread for small batches, else torch's own number.

    With few images a step, a second thread waits more than it works; and where another process wants the same cores,
    the threads wait for each other at every operation: two-conv's epoch took over 15 minutes in place of 6 seconds.
    """
    sizes = recipe.data.batch_size
    largest = sizes if isinstance(sizes, int) else max(sizes.values())
    return 1 if largest < _SMALL_BATCH else torch.get_num_threads()


@contextlib.contextmanager
def limit_threads(threads: int | None) -> Iterator[None]:
    """Let torch use so many threads for the length of a block; None leaves its number.

    A forked child has one, whatever is given: its parent's threads are not in it, and torch would wait for them.

    >>> with limit_threads(1): torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1 if machine.is_forked() else threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
