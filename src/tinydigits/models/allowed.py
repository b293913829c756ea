"""Code outside of the package: run where the user names it, never because a file says so.

A run, or a file of weights, names the class of its model, and a stranger's may name anything. So `file.py:Class` and
`package.module:Class` out of a file are built only where the user has named that code: in this command, or when it was
trained on this machine. Of what was trained here the cache keeps a hash of the code's place and content. A run also
records the hashes of its code, so that code which has changed since is not taken for the run's own.

Code is a file (or a package's module) and what it imports from its own folder (or package).
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import itertools
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import all_suffixes
from pathlib import Path
from typing import Any

from tinydigits.errors import TinydigitsError, printable
from tinydigits.machine import cache_root
from tinydigits.text import seen_from

__all__ = ["IN_MEMORY", "Code", "allow", "choose_code", "code_sha256", "forget_namesakes", "in_memory", "source_files"]

IN_MEMORY = "in-memory:"
in_memory: dict[str, Any] = {}
"""Classes and modules that a Python session gave as objects, by the names that its runs have for them."""
_SUFFIXES = all_suffixes()
_NO_CODE = {"__pycache__", "node_modules", "site-packages", "dist-packages", "runs", "data"}
_INSTALLED = ("site-packages", "dist-packages")
_MOST_FILES = 500
_allowed: set[str] = set()


@dataclass(frozen=True)
class Code:
    """What a model is built by: the `spec` to build, and which files are not as they were when it was trained.

    `changed` is None where that is not known: it was not recorded.
    """

    spec: str
    changed: tuple[str, ...] | None = ()


def allow(spec: str, *, lasting: bool = False) -> None:
    """Note that the user named a model's code; `lasting` for later commands too, as a training does.

    >>> allow("math:sqrt")
    >>> choose_code("math:sqrt", "weights.safetensors").spec
    'math:sqrt'

    A registered model needs no leave.
    """
    if ":" not in spec:
        return
    _allowed.add(_place(spec))
    mark = _mark(spec) if lasting else None
    if mark is not None:
        with contextlib.suppress(OSError):  # without a cache each command must name it
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def code_sha256(spec: str) -> dict[str, str] | None:
    """The SHA-256 of every file of a model's code, by its path from the code's own folder.

    >>> code_sha256("gap-cnn"), code_sha256("nowhere.py:Net")
    ({}, None)

    A registered model has none. None where the files cannot be found without running them.
    """
    try:
        return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in _files(spec).items()}
    except (OSError, ImportError):
        return None


def choose_code(
    spec: str,
    where: object,
    *,
    named: str | None = None,
    beside: Path | None = None,
    recorded: Mapping[str, str] | None = None,
    command: str = "",
    if_changed: str = "",
) -> Code:
    """The code to build a model by, whose file `where` names it as `spec`: what the user named, or what was trained.

    >>> choose_code("gap-cnn", "weights.safetensors")
    Code(spec='gap-cnn', changed=())
    >>> choose_code("antigravity:Net", "weights.safetensors", command="tinydigits verify weights.safetensors")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: weights.safetensors: names code to run, antigravity:Net, and code is run only ...
      try: tinydigits verify weights.safetensors --model antigravity:Net

    A relative path is looked for in the folder `beside` and those above it, then in the current folder; of several
    files, the one that is as it was `recorded` is meant. `command` is what the user names the code in, by `--model`;
    `if_changed` is the hint where that does not help. Raises TinydigitsError for code that the user has not named, that
    has changed since, or that cannot be found.
    """
    if named is not None:
        allow(named)
        return Code(named, _differences(named, spec, recorded))
    if ":" not in spec:
        return Code(spec)
    if spec.startswith(IN_MEMORY):
        if spec in in_memory:
            return Code(spec)
        raise TinydigitsError(
            where, f"its model, {printable(spec)}, was given as an object by a Python session that is over",
            hint=_saying_yes(command, "path/to/file.py:Class"),
        )  # fmt: skip
    place, _, class_name = spec.rpartition(":")
    places = seen_from(place, beside) if place.endswith(".py") else [place]
    if not places:
        raise TinydigitsError(
            where, f"its model is {printable(spec)}, and there is no such file beside it or in the current folder",
            hint=_saying_yes(command, f"path/to/{Path(place).name}:{class_name}"),
        )  # fmt: skip
    candidates = [Code(f"{path}:{class_name}", _differences(f"{path}:{class_name}", spec, recorded)) for path in places]
    code = next((code for code in candidates if not code.changed), candidates[0])
    if code.changed:
        raise TinydigitsError(
            where, f"{printable(', '.join(code.changed))} changed since it was trained, and changed code is run only "
            "where you name it yourself", hint=if_changed or _saying_yes(command, code.spec),
        )  # fmt: skip
    mark = _mark(code.spec)
    if _place(code.spec) not in _allowed and (mark is None or not mark.is_file()):
        raise TinydigitsError(
            where, f"names code to run, {printable(spec)}, and code is run only where you name it yourself",
            hint=_saying_yes(command, code.spec),
        )  # fmt: skip
    return code


def _saying_yes(command: str, spec: str) -> str:
    return printable(f"{command} --model {shlex.quote(spec)}" if command else f"spec={spec!r}")


def _differences(spec: str, recorded_spec: str, recorded: Mapping[str, str] | None) -> tuple[str, ...] | None:
    """The files of some code that are not as recorded; the class, where that alone is another."""
    if recorded is None:
        return () if spec == recorded_spec and ":" not in spec else None
    now = code_sha256(spec) or {}
    if sorted(now.values()) == sorted(recorded.values()):  # a file may have another name by now
        is_same = spec.rpartition(":")[2] == recorded_spec.rpartition(":")[2]
        return () if is_same else (f"{spec} in place of {recorded_spec}",)
    return tuple(sorted(name for name in {*now, *recorded} if now.get(name) != recorded.get(name)))


def _place(spec: str) -> str:
    place = spec.rpartition(":")[0]
    return str(Path(place).resolve()) if place.endswith(".py") else place


def _mark(spec: str) -> Path | None:
    """The file whose being there says that this very code was trained here; None where there is no such code."""
    digest = hashlib.sha256()
    try:
        for path in _files(spec).values():
            digest.update(f"{path.resolve()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    except (OSError, ImportError):
        return None
    return cache_root() / "named-code" / digest.hexdigest()


def _files(spec: str) -> dict[str, Path]:
    """The files that building a model runs, by their paths from the code's own folder; found without running any."""
    place, colon, _ = spec.rpartition(":")
    if not colon:
        return {}
    if place.endswith(".py"):
        path = Path(place).absolute()
        own, folders, files = None, [str(path.parent)], {path.name: path}
        waiting = [] if path.parent.name in _INSTALLED else [*_imports("", path)]
    else:
        own, folders, files, waiting = place.partition(".")[0], sys.path, {}, [place]
        if not any(module == place for module, _ in _modules(place, folders)):
            raise ImportError(place)
    seen: set[str] = set()
    while waiting:
        for module, path in _modules(waiting.pop(0), folders):
            if module not in seen and own in (None, module.partition(".")[0]):
                seen.add(module)
                folder = module if _is_package(path) else module.rpartition(".")[0]
                files[f"{folder.replace('.', '/')}/{path.name}".lstrip("/")] = path
                waiting += _imports(module, path)
    return files


def source_files(spec: str) -> list[Path]:
    """The files of code that building a model may run, but for installed packages: to be read, and nothing else there.

    What it imports, from its own folder or Python's path, and all other Python files in and below its own folder, for
    what is imported by a name that is made up.
    """
    try:
        files = dict.fromkeys(path.absolute() for path in _files(spec).values())
    except ImportError:
        return []
    folders = list(dict.fromkeys(path.parent for path in files))
    prefixes = tuple({os.path.realpath(prefix) + os.sep for prefix in (sys.prefix, sys.base_prefix)})
    places = [
        place for place in sys.path
        if place and Path(place).name not in _INSTALLED and not os.path.realpath(place).startswith(prefixes)
    ]  # fmt: skip
    waiting = [name for path in files for name in _imports("", path)]
    seen: set[str] = set()
    while waiting:
        for module, path in _modules(waiting.pop(), places):
            if module not in seen:
                seen.add(module)
                files[path.absolute()] = None
                waiting += _imports(module, path)
    for folder in folders:
        files |= dict.fromkeys(itertools.islice(_python_files(folder), _MOST_FILES))
    # A link may bear the name of code and lead to anything.
    return [path for path in files if os.path.realpath(path).endswith(tuple(_SUFFIXES))]


def _python_files(folder: Path) -> Iterator[Path]:
    num_seen = 0
    for place, inner, names in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".") and name not in _NO_CODE]
        num_seen += len(names) + len(inner)
        yield from (Path(place, name) for name in names if name.endswith(".py"))
        if num_seen > 20 * _MOST_FILES:  # a home folder, not a project's
            return


def forget_namesakes(spec: str) -> None:
    """Let a file import its own neighbours, where another project's, imported before, have the same names."""
    for name, path in _files(spec).items():
        module = name.rpartition(".")[0].replace("/", ".").removesuffix(".__init__")
        loaded = getattr(sys.modules.get(module), "__file__", None)
        if loaded is None or Path(loaded) == path:
            continue
        root = Path(loaded).parents[module.count(".") + _is_package(Path(loaded))]
        if str(root) not in sys.path:  # what is on the path is no project's alone: Python's own modules, packages
            del sys.modules[module]


def _modules(name: str, folders: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The modules that importing a name runs, with their files, as far as it leads through `folders`."""
    module, places = "", [Path(folder) for folder in folders]
    for part in name.split("."):
        module = f"{module}.{part}".lstrip(".")
        files = [
            place / f"{file}{suffix}" for place in places for file in (f"{part}/__init__", part) for suffix in _SUFFIXES
        ]
        path = next((file for file in files if os.path.isfile(file)), None)  # noqa: PTH113 (no error for any name)
        if path is not None:
            yield module, path
        places = [place / part for place in places] if path is None else [path.parent] if _is_package(path) else []


def _is_package(path: Path) -> bool:
    return path.name.partition(".")[0] == "__init__"


def _imports(module: str, path: Path) -> Iterator[str]:
    """The names that a file imports, wherever in it; what it makes up while it runs is not seen."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return  # no source that can be read
    package = module if _is_package(path) else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            with contextlib.suppress(ImportError):
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                yield from (f"{base}.{alias.name}" for alias in node.names)
