"""Where this package came from, and so how it is installed again: here with an extra, or on another machine."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["PUBLISHED", "install_hint", "requirement"]

PUBLISHED = False
"""Whether `tinydigits` on PyPI is this package. Until then nothing has pip look the name up: anyone can register it."""

_TREE = Path(__file__).parents[2]


def install_hint(extra: str) -> str:
    """The command that installs an extra into this environment, or where no command is known, a sentence.

    >>> install_hint("serve")
    "pip install ...[serve]..."
    """
    name, origin = f"tinydigits[{extra}]", _origin()
    if (_TREE / "pyproject.toml").is_file():
        return f"pip install -e {shlex.quote(f'{_TREE}[{extra}]')}"
    if origin:
        return f"pip install {shlex.quote(f'{name} @ {_url(origin)}')}"
    return f"pip install {shlex.quote(name)}" if PUBLISHED else f"{name}, from where tinydigits was installed"


def requirement() -> str | None:
    """The line of a requirements file by which another machine gets this very package; None where none is known."""
    origin = _origin()
    if origin.get("url", "file:").startswith("file:"):
        return f"tinydigits=={metadata.version('tinydigits')}" if PUBLISHED else None
    return f"tinydigits @ {_url(origin)}"


def _origin() -> dict[str, Any]:
    """What pip noted when it installed the package from elsewhere than an index (PEP 610)."""
    try:
        text = metadata.distribution("tinydigits").read_text("direct_url.json")
    except metadata.PackageNotFoundError:  # a source tree that is not installed
        return {}
    noted: dict[str, Any] = json.loads(text or "{}")
    return noted


def _url(origin: dict[str, Any]) -> str:
    source = origin.get("vcs_info")
    return f"{source['vcs']}+{origin['url']}@{source['commit_id']}" if source else str(origin["url"])
