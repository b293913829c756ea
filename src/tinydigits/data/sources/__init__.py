"""The data sets with a name, found by folder: each TOML file here is one that was published as four IDX files.

Each module is a set of another kind, and its `source` says all about it.
"""

from __future__ import annotations

from pathlib import Path

from tinydigits.data.source import Source
from tinydigits.errors import unknown_name
from tinydigits.plugins import Plugins, TomlFiles

__all__ = ["get", "names"]

_HINT = "a folder with four IDX files, or with one folder of images for each class, works as well"
_PUBLISHED = TomlFiles("data set", Path(__file__).parent, "")
_OTHERS: Plugins[Source] = Plugins(__name__, "source", where="data", kind="data set")


def names() -> list[str]:
    """The names of all, in alphabetical order."""
    return sorted([*_PUBLISHED.names(), *_OTHERS.names()])


def get(name: str) -> Source:
    """One of them; raises TinydigitsError, with the nearest names, where there is none."""
    if name not in names():
        raise unknown_name("data", name, names(), kind="data set", hint=_HINT)
    from tinydigits.data.originals import published  # which looks for the others here

    return published(_PUBLISHED.find(name)) if name in _PUBLISHED.names() else _OTHERS.get(name)
