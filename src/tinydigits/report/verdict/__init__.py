"""A verdict for those who read it: a format in each file, found by folder. Pure functions of what `verdict.json` holds.

A file of this folder has `render(verdict, before)`. `verdict` is the tree of a `verdict.json`; `before`, where there is
one, that of an earlier verdict, for formats that show a change.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinydigits.errors import TinydigitsError, unknown_name
from tinydigits.report.verdict._words import count
from tinydigits.run import read_verdict

__all__ = ["count", "formats", "load_verdict", "render"]


def formats() -> list[str]:
    """The formats that there are.

    >>> formats()
    ['annotations', 'badge', 'json', 'junit', 'markdown']
    """
    return sorted(entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_"))


def render(name: str, verdict: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """A verdict in one of the formats; raises TinydigitsError for a name that does not exist.

    >>> found = {"check": "model.parameters", "status": "pass", "measured": "98", "limit": "at most 99", "why": ""}
    >>> tree = {"verdict": "holds", "target": {"name": "net"}, "contract": {"name": "small"}, "findings": [found]}
    >>> print(render("markdown", tree).splitlines()[0])
    ### net against small: holds
    """
    if name not in formats():
        raise unknown_name("verdict", name, formats(), kind="format")
    text: str = importlib.import_module(f"{__name__}.{name}").render(verdict, before)
    return text


def load_verdict(path: str | Path) -> dict[str, Any]:
    """The tree of a `verdict.json`; raises TinydigitsError where it is missing, damaged, or something else.

    >>> load_verdict("nowhere.json")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: verdict nowhere.json: no such file
      try: tinydigits verify --json nowhere.json
    """
    if not Path(path).exists():
        raise TinydigitsError(f"verdict {path}", "no such file", hint=f"tinydigits verify --json {path}")
    return read_verdict(Path(path), f"verdict {path}", hint="the file that `tinydigits verify --json` wrote")
