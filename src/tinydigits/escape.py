"""Text that others wrote, put into a format so that it stays text there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tinydigits.errors import printable

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["Markdown", "code", "markdown", "quoted", "template"]

# What starts emphasis, a cell, a strike or an escape; an underscore does so at the edge of a word only.
_ACTIVE = re.compile(r"[\\*|~]|(?<![^\W_])_|_(?![^\W_])|(?<=\])\(")
_ENTITY = re.compile(r"&(?=#?\w+;)")


class Markdown(str):
    """Text that is Markdown already, such as a link."""

    __slots__ = ()


def markdown(value: object) -> str:
    """Text on one line for a paragraph, a heading or a table's cell: no markup, no link, no picture, no HTML.

    >>> print(markdown("a|b <c> ![d](e)"), markdown(Markdown("**fail**")))
    a\\|b &lt;c> ![d]\\(e) **fail**

    Backticks stay: what is between them is shown as it is.
    """
    text = printable(" ".join(str(value).split()))
    if isinstance(value, Markdown):
        return text
    return _ACTIVE.sub(r"\\\g<0>", _ENTITY.sub("&amp;", text)).replace("<", "&lt;")


def code(value: object) -> str:
    """Text as a piece of code in Markdown.

    >>> code("tinydigits verify")
    '`tinydigits verify`'
    """
    text = printable(str(value)).replace("`", "'")
    return f"`{text}`"


def quoted(name: object) -> str:
    """A name inside a sentence: in quotes where it has spaces, so that it cannot be taken for more of the sentence.

    >>> quoted("under-25k"), quoted("x: holds (9 pass)")
    ('under-25k', '"x: holds (9 pass)"')
    """
    text = printable(str(name))
    return '"' + text.replace('"', "'") + '"' if re.search(r"\s", text) else text


def template(path: Path) -> Template:
    """A page with places to fill: in HTML text is escaped by itself, in Markdown by the filters `markdown` and `code`.

    Raises jinja2's UndefinedError, when it is rendered, for a place that nothing is given for.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    is_html = ".html" in path.suffixes
    environment = Environment(
        loader=FileSystemLoader(path.parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=is_html, keep_trailing_newline=not is_html,
    )  # fmt: skip
    environment.filters |= {"code": code, "markdown": markdown}
    return environment.get_template(path.name)
