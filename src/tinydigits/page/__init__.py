"""The drawing page: one HTML file that reads digits by itself, in plain JavaScript, with models inside or beside it.

`picture.js` is `tinydigits.data.picture` and its geometry, `network.js` runs a model, `draw.js` is the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinydigits.page.network import network_of

__all__ = ["assemble", "network_of"]

_ROOM = Path(__file__).parent
_SCRIPTS = ("picture.js", "network.js", "draw.js")


def assemble(models: Sequence[dict[str, Any]]) -> str:
    """The page as one file's text, with some models to choose among; the first answers at the start.

    >>> text = assemble([{"name": "mine", "address": "networks/mine"}])
    >>> "https://" in text or "http://" in text.replace("http://www.w3.org/", "")
    False

    A model is what `network_of` gives, or `name` and `address`, the place to get that from, relative to the page. The
    page may load nothing else: a policy in it allows its own script and style by their hashes.
    """
    style = (_ROOM / "draw.css").read_text(encoding="utf-8")
    script = "\n".join((_ROOM / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    data = json.dumps(list(models), separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; connect-src 'self'; "
        "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'"
    )
    text = (_ROOM / "draw.html").read_text(encoding="utf-8")
    for mark, content in (("policy", policy), ("style", style), ("models", data), ("script", script)):
        text = text.replace("{{" + mark + "}}", content)
    return text


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
