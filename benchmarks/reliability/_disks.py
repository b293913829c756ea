"""File systems of the kernel's own that are small, or can only be read. To mount them takes root, and its leave."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.reliability import NotInjected

__all__ = ["read_only", "small_disk"]


@contextlib.contextmanager
def small_disk(folder: Path, num_bytes: int) -> Iterator[None]:
    """A folder that is a file system with room for so many bytes; raises NotInjected."""
    with _mounted(folder, "-t", "tmpfs", "-o", f"size={num_bytes}", "none"):
        yield


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """A folder as it is, but root too may only read in it; raises NotInjected."""
    with _mounted(folder, "--bind", str(folder)):
        _run("mount", "-o", "remount,bind,ro", str(folder))
        yield


@contextlib.contextmanager
def _mounted(folder: Path, *words: str) -> Iterator[None]:
    _run("mount", *words, str(folder))
    try:
        yield
    finally:
        _run("umount", str(folder))


def _run(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotInjected(f"{words[0]}: {error}") from error
    if done.returncode:
        raise NotInjected(done.stderr.strip())
