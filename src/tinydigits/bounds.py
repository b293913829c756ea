"""What a graph of others may cost: memory of this process, and seconds for one question.

A graph in a file can ask for any amount of either: a loop of a billion trips, a tensor of a hundred gigabytes. No look
at it tells beforehand, for numbers and shapes may come from the image. So a command that opens such files calls
`enforce`, and from then on what stands in `asking` is held to the bounds. A caller of the library is not: the process
is his.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["asking", "enforce"]

MEMORY_BYTES = 4_000_000_000
"""On top of what the process holds when the first graph is opened; its children inherit the bound."""
SECONDS = 60.0
"""For opening a graph, and for one question: the largest honest one here is a batch of a thousand small images."""
_SECONDS_BETWEEN_LOOKS = 0.5

_is_enforced = False
_under_way: dict[object, tuple[str, float]] = {}


def enforce() -> None:
    """Hold this process to the bounds, from here to its end.

    What takes too long ends the process with one message and exit code 2, for nothing else stops a library's code.
    """
    global _is_enforced
    if not _is_enforced:
        _is_enforced = True
        threading.Thread(target=_watch, daemon=True, name="tinydigits-bounds").start()


@contextlib.contextmanager
def asking(where: str) -> Iterator[None]:
    """Open or ask a graph within this block; without `enforce` nothing is bounded.

    >>> with asking("model.onnx"):
    ...     pass

    Memory over the bound is refused by the system, and what asks for it raises what it raises then.
    """
    if not _is_enforced:
        yield
        return
    _limit_memory()
    question = object()
    _under_way[question] = where, time.monotonic()
    try:
        yield
    finally:
        del _under_way[question]


@functools.cache
def _limit_memory() -> None:
    """Private memory alone is counted: what libraries map of files, and what GPUs reserve, is not."""
    if not Path("/proc/self/statm").exists():
        return  # Linux alone holds a process to this
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft == resource.RLIM_INFINITY or soft > most:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _watch() -> None:
    while True:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        for where, since in list(_under_way.values()):
            if time.monotonic() - since > SECONDS:
                shown = "\x1b[?25h\n" if sys.stderr.isatty() else ""  # a spinner hides the cursor
                print(f"{shown}error: {where}: no answer within {SECONDS:g} s", file=sys.stderr, flush=True)
                os._exit(2)
