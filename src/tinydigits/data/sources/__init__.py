"""The data sources, found by folder: each module here is one, and its `source` says all about it."""

from __future__ import annotations

from tinydigits.data.source import Source
from tinydigits.plugins import Plugins

__all__ = ["get", "names"]


_SOURCES: Plugins[Source] = Plugins(
    __name__, "source", where="data", kind="data set",
    hint="a folder with four IDX files, or with one folder of images for each class, works as well",
)  # fmt: skip
names, get = _SOURCES.names, _SOURCES.get
