"""The drawing page: one HTML file that reads digits by itself, in plain JavaScript, with models inside or beside it.

`picture.js` is `tinydigits.data.picture` and its geometry, `network.js` runs a model, `maps.js` shows its
layers, `draw.js` is the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinydigits.page.network import UNSURE_BELOW, network_of

__all__ = ["UNSURE_BELOW", "assemble", "hash_of", "network_of", "policy"]

_ROOM = Path(__file__).parent
_SCRIPTS = ("picture.js", "network.js", "maps.js", "draw.js")


def assemble(models: Sequence[dict[str, Any]]) -> str:
    """The page as one file's text, with some models to choose among; the first answers at the start.

    >>> text = assemble([{"name": "mine", "address": "networks/mine"}])
    >>> "https://" in text or "http://" in text.replace("http://www.w3.org/", "")
    False

    A model is what `network_of` gives, or `name` and `address`, the place to get that from, relative to the page. The
    page may load nothing else: a policy in it allows its own script and style by their hashes.
    """
    style, script = _style(), _script()
    data = json.dumps(list(models), separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    text = (_ROOM / "draw.html").read_text(encoding="utf-8")
    # The models last: what a class is called is not looked through for marks.
    for mark, content in (("policy", policy()), ("style", style), ("script", script), ("models", data)):
        text = text.replace("{{" + mark + "}}", content)
    return text


def policy() -> str:
    """The page's content security policy, for a header; in the page it stands by itself.

    >>> policy().startswith("default-src 'none'; script-src 'sha256-")
    True
    """
    return (
        f"default-src 'none'; script-src '{hash_of(_script())}'; style-src '{hash_of(_style())}'; connect-src 'self'; "
        "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'"
    )


def hash_of(text: str) -> str:
    """A script's or style's hash, as a content security policy names what it allows.

    >>> hash_of("")
    'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _style() -> str:
    return (_ROOM / "draw.css").read_text(encoding="utf-8")


def _script() -> str:
    return "\n".join((_ROOM / name).read_text(encoding="utf-8") for name in _SCRIPTS)
