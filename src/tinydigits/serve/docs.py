"""The API on one page, readable offline: the usual viewers load their scripts from elsewhere."""

from __future__ import annotations

import json
import re
from html import escape
from itertools import groupby
from operator import itemgetter
from typing import Any

__all__ = ["STYLE", "describe"]

STYLE = (
    ":root{color-scheme:light dark;--line:light-dark(#d5d2c9,#3c3b48);--quiet:light-dark(#5d5b6e,#a5a2b8);"
    "--soft:light-dark(#f1efe9,#22222e)}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}"
    "h2{margin:2.2rem 0 .3rem;padding-top:1rem;border-top:1px solid var(--line);font-size:1.1rem}"
    "p{margin:.4rem 0}"
    "pre{background:var(--soft);padding:.7rem .9rem;border-radius:.5rem;overflow-x:auto;font-size:.875rem}"
    "dl{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.2rem 1rem}dd{margin:0}"
    "dt,dd{overflow-wrap:anywhere}dt{grid-column:1}dd{grid-column:2}dt.of{grid-column:1/-1;color:var(--quiet);font-size:.875rem;margin-top:.5rem}"
    "@media(max-width:30rem){dl{grid-template-columns:1fr}dd{grid-column:1;margin:0 0 .4rem}}"
)


def describe(openapi: dict[str, Any], answer: dict[str, Any]) -> str:
    """A page of HTML from the API's own description, and an answer of `POST /predict` to a straight stroke.

    >>> describe({"info": {"description": "Reads."}, "paths": {}}, {"model": "mine"}).count("<h2>")
    1
    """
    host = "http://127.0.0.1:8000"
    parts = [
        "<h2>An example</h2>",
        _code(f"curl --data-binary @photo.jpg -H 'content-type: image/jpeg' {host}/predict"),
        "<p>The answer, here to a straight stroke:</p>",
        _code(json.dumps(answer, indent=1, ensure_ascii=False)),
    ]
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            text = _prose(operation.get("description", "")).replace("\n\n", "</p><p>")
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{text}</p>")
            query = [(f"?{one['name']}=", one.get("description", "")) for one in operation.get("parameters", [])]
            bodies = [
                (kind, one["schema"].get("description", ""))
                for kind, one in operation.get("requestBody", {}).get("content", {}).items()
            ]
            answers = [(code, one["description"]) for code, one in operation["responses"].items()]
            lists = (("query", query), ("body", bodies), ("answer", answers))
            parts.append("<dl>" + "".join(_terms(of, terms) for of, terms in lists) + "</dl>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>tinydigits API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style><h1>tinydigits API</h1><p>{_prose(openapi['info']['description'])} The same for "
        f"machines: <a href='openapi.json'>openapi.json</a>. To draw: <a href='./'>the page</a>.</p>"
        f"{''.join(parts)}</html>"
    )


def _code(text: str) -> str:
    return f"<pre tabindex=0><code>{escape(text)}</code></pre>"  # reached by keyboard, for it may scroll


def _prose(text: str) -> str:
    return re.sub("`(.*?)`", r"<code>\1</code>", escape(text))


def _terms(of: str, terms: list[tuple[str, str]]) -> str:
    """Terms under a heading; neighbours that mean the same are one row."""
    rows = [
        "".join(f"<dt><code>{escape(term)}</code></dt>" for term, _ in alike) + f"<dd>{_prose(meaning)}</dd>"
        for meaning, alike in groupby(terms, key=itemgetter(1))
    ]
    return f'<dt class="of">{of}</dt>{"".join(rows)}' if rows else ""
