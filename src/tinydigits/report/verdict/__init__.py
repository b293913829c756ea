"""A verdict for those who read it: a format in each file, found by folder. Pure functions of the document.

A file of this folder has `render(verdict, before)`; `before` is an earlier verdict or None, for formats that show a
change.
"""

from __future__ import annotations

from collections.abc import Callable

from tinydigits.plugins import Plugins
from tinydigits.verdict import Verdict

__all__ = ["formats", "render"]

_FORMATS: Plugins[Callable[[Verdict, Verdict | None], str]] = Plugins(
    __name__, "render", where="verdict", kind="format"
)


formats = _FORMATS.names


def render(name: str, verdict: Verdict, before: Verdict | None = None) -> str:
    """A verdict in one of the formats; raises TinydigitsError for a name that does not exist.

    >>> from tinydigits import pretrained
    >>> print(render("markdown", pretrained.find("sprint").verdict).splitlines()[2])
    15 pass.
    """
    return _FORMATS.get(name)(verdict, before)
