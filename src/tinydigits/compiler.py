"""The machine's C compiler, for whoever wants a text in C as functions to call."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tinydigits.errors import TinydigitsError
from tinydigits.machine import cache_root

__all__ = ["compiler_version", "find_compiler", "load_library"]

_FLAGS = ("-O3", "-shared", "-fPIC")


def find_compiler(where: str = "C compiler") -> str:
    """The C compiler of this machine: `CC`, else cc, gcc or clang; raises TinydigitsError where there is none.

    >>> Path(find_compiler()).name in {"cc", "gcc", "clang"} or "CC" in os.environ
    True
    """
    for name in filter(None, (os.environ.get("CC"), "cc", "gcc", "clang")):
        if shutil.which(name):
            return name
    raise TinydigitsError(where, "there is no C compiler", hint="apt install gcc, or CC=compiler")


def compiler_version() -> str:
    """What the compiler calls itself: the first line of its `--version`.

    >>> any(character.isdigit() for character in compiler_version())
    True
    """
    done = subprocess.run([find_compiler(), "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.strip().splitlines() or ["unknown"])[0]


def load_library(text: str, *, where: str, flags: Sequence[Sequence[str]] = (("-march=native",),)) -> ctypes.CDLL:
    """The functions of a text in C, compiled for this machine in a folder that is gone afterwards.

    The folder is a temporary one, or in the cache where nothing can be loaded from the former (`noexec`).

    >>> load_library("int twice(int n) { return 2 * n; }", where="twice.c").twice(21)
    42

    `flags` are tried in order until the compiler takes some. Raises TinydigitsError where there is no compiler, with
    the first complaint of the last attempt, and where the library can be loaded from neither folder.
    """
    refusals = []
    for place in (Path(tempfile.gettempdir()), cache_root()):
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="tinydigits-", dir=place) as folder:
                return ctypes.CDLL(_compiled(text, Path(folder), where, flags))
        except OSError as error:  # full, read-only, or mounted noexec
            refusals.append(f"{place} ({error.strerror or str(error).rpartition(': ')[2]})")
    problem = f"cannot be compiled and loaded in {' or '.join(refusals)}"
    raise TinydigitsError(where, problem, hint="TMPDIR=a folder that code may be run from")


def _compiled(text: str, folder: Path, where: str, flags: Sequence[Sequence[str]]) -> str:
    """The path of the library."""
    source, library = folder / "library.c", folder / "library.so"
    source.write_text(text, encoding="utf-8")
    for chosen in flags:
        command = [find_compiler(where), *_FLAGS, *chosen, "-o", str(library), str(source), "-lm"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return str(library)
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    reason = next((line for line in lines if "error" in line), lines[0])
    raise TinydigitsError(where, f"does not compile: {reason}")
