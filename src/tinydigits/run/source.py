"""Which data set a record names, whatever version wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["source_of"]

_IS_PATH = re.compile(r"^[.~]|[/\\]")


def source_of(source: str, recipe: Mapping[str, Any]) -> str:
    """The data set that a record names; earlier versions wrote a folder's last name alone, its recipe has the path.

    >>> source_of("digits", {"data": {"source": "./digits"}}), source_of("digits", {"data": {"source": "digits"}})
    ('./digits', 'digits')
    """
    part = recipe.get("data")
    typed = part.get("source") if isinstance(part, dict) else None
    is_old = isinstance(typed, str) and _IS_PATH.search(typed) and not _IS_PATH.search(source)
    return str(typed) if is_old else source
