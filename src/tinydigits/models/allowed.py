"""Code outside of the package: run where the user names it, never because a file says so.

A run, or a file of weights, names the class of its model, and a stranger's may name anything. So `file.py:Class` and
`package.module:Class` out of a file are built only where the user has named the same code before: in this process, or
in an earlier command. Of the latter the cache keeps a hash of the code's place and content; code that was changed
since, or that lies elsewhere, is other code.
"""

from __future__ import annotations

import contextlib
import hashlib
from importlib.machinery import PathFinder
from pathlib import Path

from tinydigits.errors import TinydigitsError
from tinydigits.machine import cache_root

__all__ = ["allow", "require_allowed"]

_allowed: set[str] = set()


def allow(spec: str, *, lasting: bool = False) -> None:
    """Note that the user named a model's code; `lasting` for later commands too. A registered model needs no leave.

    >>> allow("math:sqrt")
    >>> require_allowed("math:sqrt", "weights.safetensors")
    """
    if ":" not in spec:
        return
    _allowed.add(spec)
    mark = _mark(spec) if lasting else None
    if mark is not None:
        with contextlib.suppress(OSError):  # without a cache each command must name it
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def require_allowed(spec: str, where: object) -> None:
    """Raise TinydigitsError for code that the file `where` names and the user has not.

    >>> require_allowed("gap-cnn", "weights.safetensors")
    >>> require_allowed("antigravity:Net", "weights.safetensors")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: weights.safetensors: names code to run, antigravity:Net, and code is run only ...
      try: tinydigits models show antigravity:Net, if you trust it
    """
    if ":" not in spec or spec in _allowed:
        return
    mark = _mark(spec)
    if mark is None or not mark.is_file():
        raise TinydigitsError(
            where, f"names code to run, {spec}, and code is run only where you name it yourself",
            hint=f"tinydigits models show {spec}, if you trust it",
        )  # fmt: skip


def _mark(spec: str) -> Path | None:
    """The file whose being there says that this very code was named; None where there is no such code."""
    digest = hashlib.sha256()
    try:
        for path in _files(spec.rpartition(":")[0]):
            digest.update(f"{path.resolve()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    except (OSError, ValueError, ImportError):
        return None
    return cache_root() / "named-code" / digest.hexdigest()


def _files(place: str) -> list[Path]:
    """A file, or those that importing a module would run, found without running any."""
    if place.endswith(".py"):
        return [Path(place)]
    found, folders, parts = [], None, place.split(".")
    for number in range(1, len(parts) + 1):
        module = PathFinder.find_spec(".".join(parts[:number]), folders)
        if module is None:
            raise ImportError(place)
        if module.origin is not None:
            found.append(Path(module.origin))
        folders = module.submodule_search_locations
    return found
