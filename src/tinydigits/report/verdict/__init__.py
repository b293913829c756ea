"""A verdict for those who read it: a format in each file, found by folder. Pure functions of the document.

A file of this folder has `render(verdict, before)`; `before` is an earlier verdict or None, for formats that show a
change.
"""

from __future__ import annotations

import importlib
import pkgutil

from tinydigits.errors import unknown_name
from tinydigits.verdict import Verdict

__all__ = ["formats", "render"]


def formats() -> list[str]:
    """The formats that there are.

    >>> formats()
    ['annotations', 'badge', 'json', 'junit', 'markdown']
    """
    return sorted(entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_"))


def render(name: str, verdict: Verdict, before: Verdict | None = None) -> str:
    """A verdict in one of the formats; raises TinydigitsError for a name that does not exist.

    >>> from tinydigits import pretrained
    >>> print(render("markdown", pretrained.find("sprint").verdict).splitlines()[2])
    15 pass.
    """
    if name not in formats():
        raise unknown_name("verdict", name, formats(), kind="format")
    text: str = importlib.import_module(f"{__name__}.{name}").render(verdict, before)
    return text
