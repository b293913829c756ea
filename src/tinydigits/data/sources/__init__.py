"""The data sources, found by folder: each module here is one, and its `source` says all about it."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from tinydigits.data.source import Source
from tinydigits.errors import unknown_name

__all__ = ["get", "names"]


def names() -> tuple[str, ...]:
    """The names of all sources, in alphabetical order, without importing any of them.

    >>> "fashion-mnist" in names()
    True
    """
    return tuple(sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__)))


def get(name: str) -> Source:
    """The source of a name; TinydigitsError with near matches when there is none.

    >>> get("kmnist").info.num_test
    10000
    """
    if name not in names():
        hint = "a folder with four IDX files, or with one folder of images for each class, works as well"
        raise unknown_name("data", name, names(), kind="data set", hint=hint)
    source: Source = import_module(f"{__name__}.{name.replace('-', '_')}").source
    return source
