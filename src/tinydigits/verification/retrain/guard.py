"""Keeps files with test images, the network and other programs from the code of this process.

A hook on Python's own audit events (PEP 578), which cannot be taken away again. It holds what goes through Python:
`open`, `numpy.load`, `torch.load`, `PIL`, downloads, `tinydigits.data`. It does not hold code that sets out to get past
it: a library of its own in C, `ctypes`, test images under a name that gives nothing away. What it refused is told.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

__all__ = ["Guard"]

# How files with test images of the known sets are called, by themselves and by other libraries.
_NAMES = (
    "t10k*",
    "digits.csv.gz",
    "mnist*.npz",
    "mnist_784*",
    "kmnist*.npz",
    "k49*",
    "emnist*",
    "*qmnist*",
    "mnist.pkl*",
)
_PROGRAMS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"}


class Guard:
    """Refuses from `install()` on to the end of the process; `refused` says what was tried.

    >>> guard = Guard(hidden=["/nowhere/test"])
    >>> [guard.is_hidden(name) for name in ("/nowhere/test/3/7.png", "t10k-images-idx3-ubyte.gz", "emnist.py")]
    [True, True, False]
    """

    def __init__(self, hidden: Sequence[str | Path]) -> None:
        self.hidden = tuple(os.path.realpath(path) for path in hidden)
        self.refused: list[str] = []

    def install(self) -> None:
        """From now on, and for ever in this process."""
        sys.addaudithook(self._audit)

    def is_hidden(self, path: object) -> bool:
        """Whether a file is one that training must not read."""
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # an open file's number
        real = os.path.realpath(os.fsdecode(path))
        name = Path(real).name.lower()
        known = not name.endswith((".py", ".pyc")) and any(fnmatch(name, pattern) for pattern in _NAMES)
        return known or any(real == folder or real.startswith(folder + os.sep) for folder in self.hidden)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and self.is_hidden(arguments[0]):
            self._refuse(f"opened {Path(os.fsdecode(arguments[0])).name}")
        elif event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(arguments[1], tuple)):
            self._refuse("used the network")
        elif event in _PROGRAMS:
            # Not told: asking git for the commit is harmless, and what a program would have read is refused with it.
            raise PermissionError("other programs are kept from a training under a contract")

    def _refuse(self, what: str) -> None:
        if what not in self.refused:
            self.refused.append(what)
        raise PermissionError(f"a training under a contract {what}, where test images may be")
