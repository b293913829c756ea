"""Text that others wrote: read within bounds, and taken apart as TOML or JSON without running out of anything."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tinydigits.errors import TinydigitsError, printable

__all__ = [
    "json_tree", "one_line", "read_text", "require_lines", "seen_from", "source_alias", "source_label", "toml_tree",
]  # fmt: skip

MAX_BYTES = 4_000_000
"""No honest recipe, contract, record or verdict is larger: a record of 256 classes is a tenth of it."""
_MAX_TOML_BYTES = 1_000_000
_LONG_KEY = re.compile(r"""(?:\.[ \t]*(?:[\w-]{1,200}|"[^"\n]{0,200}"|'[^'\n]{0,200}')[ \t]*){40}""")
MAX_DEPTH = 40
"""Tables in tables; honest ones have five. What writes a tree back calls itself once for each."""
_ABSOLUTE = re.compile(r"(?:[A-Za-z]:)?[\\/](?:.*[\\/])?([^\\/]+)", re.S)


def source_label(source: str) -> str:
    """A data set's source as people read it: a folder never looks like the name of a known set.

    >>> source_label("mnist"), source_label("/home/me/mnist")
    ('mnist', 'mnist (/home/me/mnist)')
    """
    folder = _ABSOLUTE.fullmatch(source)
    return printable(f"{folder[1]} ({source})" if folder else source)


def source_alias(source: str) -> str:
    """A data set's source for files that leave this machine: of a folder its last name alone, not where it lies.

    >>> source_alias("mnist"), source_alias("/home/me/mnist"), source_alias(r"C:\\me\\mnist")
    ('mnist', './mnist', './mnist')
    """
    folder = _ABSOLUTE.fullmatch(source)
    return printable(f"./{folder[1]}" if folder else source)


def seen_from(path: str, folder: Path | None = None) -> list[str]:
    """The files that a relative path may mean which was written elsewhere, each as it is named from here.

    >>> seen_from("nowhere.py", Path("runs"))
    []

    Such a path stands in a run, and is relative to where the training was started: in the run's `folder` or one above
    it. Those come first, from the nearest on, and then the current folder.
    """
    if Path(path).is_absolute():
        return [path] if os.path.isfile(path) else []  # noqa: PTH113 (no error for any name)
    here = Path.cwd()
    above = [] if folder is None else [here / folder, *(here / folder).parents]
    files = dict.fromkeys(str(place / path) for place in [*above, here])
    return [_from_here(file, here) for file in files if os.path.isfile(file)]  # noqa: PTH113


def _from_here(file: str, here: Path) -> str:
    try:
        return os.path.relpath(file, here)
    except ValueError:  # another drive of Windows
        return file


def read_text(path: Path, where: object = None) -> str:
    """The text of a file of the user's; raises TinydigitsError where it cannot be read or is larger than 4 MB.

    >>> read_text(Path("nowhere.md"))
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: nowhere.md: cannot be read: No such file or directory
    """
    where = str(path) if where is None else where
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise TinydigitsError(where, got="a larger file", expected=f"at most {MAX_BYTES:,} bytes")
        return content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise TinydigitsError(where, f"cannot be read: {reason}") from error


def one_line(text: str) -> str:
    """A name that stays a name wherever it is printed; raises ValueError where it could be taken for something else.

    >>> one_line("under-25k")
    'under-25k'

    Line feeds and escape codes are refused, and what GitHub's runner reads as a command.
    """
    if printable(text) != text or text.lstrip().startswith("::"):
        raise ValueError("one line of printable characters, and no command of GitHub's runner")
    return text


def toml_tree(text: str, where: object) -> dict[str, Any]:
    """TOML as a tree; raises TinydigitsError where it is none, or tables lie in tables beyond reason.

    >>> toml_tree("a = {b = 1}", "here")
    {'a': {'b': 1}}

    Keys and strings are `one_line` each, and a `description` is several.
    """
    # The reader's time and memory grow with the square of a dotted key's length.
    if len(text) > _MAX_TOML_BYTES or _LONG_KEY.search(text):
        raise TinydigitsError(where, f"not TOML that can be read: larger than {_MAX_TOML_BYTES:,}, or a key too long")
    tree: dict[str, Any] = _tree(tomllib.loads, text, where, "TOML")
    require_lines(tree, where)
    return tree


def require_lines(tree: Mapping[str, Any], where: object) -> None:
    """Raise TinydigitsError where a key or a string of a tree is not `one_line`, or a description's line is not."""
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{path}.{key}" if path else key, inner) for key, inner in value.items()]
        elif isinstance(value, list | tuple):
            waiting += [(path, inner) for inner in value]
        lines = value.splitlines() if isinstance(value, str) and path == "description" else [value]
        for line in filter(lambda line: isinstance(line, str), (path, *lines)):
            try:
                one_line(line)
            except ValueError as error:
                raise TinydigitsError(f"{where}: {path}", got=repr(line[:60]), expected=error) from error


def json_tree(text: str, where: object, *, as_written: bool = False) -> Any:
    """JSON as a tree; raises TinydigitsError where it is none, or lists lie in lists beyond reason.

    >>> json_tree("[1, 2", "here")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: here: not JSON: Expecting ',' delimiter: line 1 column 6 (char 5)

    Its strings are made `printable`, since they will be printed, unless they are wanted `as_written`.
    """
    tree = _tree(json.loads, text, where, "JSON")
    return tree if as_written else _printable_tree(tree)


def _printable_tree(value: Any) -> Any:
    if isinstance(value, dict):
        return {printable(key): _printable_tree(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_printable_tree(inner) for inner in value]
    return printable(value) if isinstance(value, str) else value


def _tree(parse: Callable[[str], Any], text: str, where: object, kind: str) -> Any:
    try:
        tree = parse(text)
    except RecursionError as error:
        raise TinydigitsError(where, f"not {kind} that can be read: nested too deeply") from error
    except ValueError as error:  # the readers' own errors, and numbers of thousands of digits
        raise TinydigitsError(where, f"not {kind}: {error}") from error
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [
            inner for branch in level if isinstance(branch, dict | list)
            for inner in (branch.values() if isinstance(branch, dict) else branch)
        ]  # fmt: skip
        if not level:
            return tree
    raise TinydigitsError(where, f"not {kind} that can be read: nested more than {MAX_DEPTH} deep")
