"""The API on one page, readable offline: the usual viewers load their scripts from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from tinydigits.escape import template

__all__ = ["STYLE", "describe"]

STYLE = Path(__file__).with_name("docs.css").read_text(encoding="utf-8")


def describe(openapi: dict[str, Any], answer: dict[str, Any]) -> str:
    """A page of HTML from the API's own description, and an answer of `POST /predict` to a straight stroke.

    >>> describe({"info": {"description": "Reads."}, "paths": {}}, {"model": "mine"}).count("<h2>")
    1
    """
    return template(Path(__file__).with_name("docs.html.j2")).render(
        openapi=openapi, answer=json.dumps(answer, indent=1, ensure_ascii=False), style=Markup(STYLE),
        prose=_prose, lists_of=_lists_of,
    )  # fmt: skip


def _prose(text: str) -> Markup:
    return Markup(re.sub("`(.*?)`", r"<code>\1</code>", escape(text)).replace("\n\n", "</p><p>"))


def _lists_of(operation: dict[str, Any]) -> Iterator[tuple[str, list[tuple[list[str], str]]]]:
    """What an operation takes and gives, under a heading each: neighbours that mean the same are one row."""
    contents = operation.get("requestBody", {}).get("content", {})
    lists = {
        "query": [(f"?{one['name']}=", one.get("description", "")) for one in operation.get("parameters", [])],
        "body": [(kind, one["schema"].get("description", "")) for kind, one in contents.items()],
        "answer": [(code, one["description"]) for code, one in operation["responses"].items()],
    }
    for of, terms in lists.items():
        rows = groupby(terms, key=itemgetter(1))
        yield of, [([term for term, _ in alike], meaning) for meaning, alike in rows]
