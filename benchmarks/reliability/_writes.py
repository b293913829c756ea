"""Everything that a process does to a folder, counted; one of these steps can be made its last, or fail.

The functions that Python's files and paths end in are replaced in this process, so what runs is the product as it is.
"""

from __future__ import annotations

import errno
import io
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = ["WORDS", "Fault", "Writes"]

Fault = Literal["kill", "disk full", "input/output error", "read-only"]
_ERRORS = {"disk full": errno.ENOSPC, "input/output error": errno.EIO, "read-only": errno.EROFS}
WORDS: dict[str, str] = {fault: os.strerror(code) for fault, code in _ERRORS.items()}
"""What the system says of each."""
_STEPS = ("mkdir", "rename", "replace", "symlink", "unlink", "rmdir", "chmod", "fsync", "truncate")


@dataclass
class Writes:
    """The steps of this process in `folder`, each as (what, file name); step `at`, from 1, gets the fault.

    A write is two steps: the fault of the first comes before any byte is written, that of the second after half of
    them. With `lasting` every later step fails too, as on a disk that stays full; to take away works, but on a disk
    that can only be read.
    """

    folder: Path
    at: int | None = None
    fault: Fault = "kill"
    lasting: bool = False
    steps: list[tuple[str, str]] = field(default_factory=list)

    def watch(self) -> None:
        """From here on, for the rest of this process."""
        self._opened: dict[int, Path] = {}
        for name in _STEPS:
            setattr(os, name, self._wrap(name, getattr(os, name)))
        plain_open, plain_fdopen = io.open, os.open

        def watched_open(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
            writes = set(mode) & set("wax+") and not isinstance(file, int) and self._is_inside(file)
            if not writes:
                return plain_open(file, mode, *rest, **options)
            self._step("open", Path(file))
            opened = plain_open(file, mode, *rest, **options)
            self._opened[opened.fileno()] = Path(file)
            return _File(opened, self, Path(file))

        def watched_fdopen(path: Any, flags: int, *rest: Any, **options: Any) -> int:
            descriptor = plain_fdopen(path, flags, *rest, **options)
            if self._is_inside(path):
                self._opened[descriptor] = Path(path)
            return descriptor

        io.open = watched_open
        os.open = watched_fdopen

    def _wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*places: Any, **options: Any) -> Any:
            # Of a link the last place is ours, of a rename both are; a descriptor stands for what was opened.
            paths = [self._opened.get(place) if isinstance(place, int) else place for place in places[-2:]]
            for path in paths:
                if isinstance(path, str | os.PathLike) and self._is_inside(path):
                    self._step(name, Path(path))
                    break
            return function(*places, **options)

        return watched

    def _is_inside(self, path: Any) -> bool:
        try:
            return Path(os.path.abspath(path)).is_relative_to(self.folder)  # noqa: PTH100 (links stay links)
        except TypeError:
            return False

    def _step(self, what: str, path: Path) -> None:
        self.steps.append((what, path.name))
        number = len(self.steps)
        if self.at is None or number < self.at or (number > self.at and not self.lasting):
            return
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if what not in ("unlink", "rmdir") or self.fault == "read-only":
            code = _ERRORS[self.fault]
            raise OSError(code, os.strerror(code), str(path))


class _File:
    """An open file whose writes are steps."""

    def __init__(self, file: Any, writes: Writes, path: Path) -> None:
        self._file, self._writes, self._path = file, writes, path

    def write(self, content: Any) -> int:
        self._writes._step("write", self._path)
        half = len(content) // 2
        done: int = self._file.write(content[:half])
        self._file.flush()
        self._writes._step("write half", self._path)
        return done + int(self._file.write(content[half:]))

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
