"""Text that others wrote, put into a format so that it stays text there."""

from __future__ import annotations

import re

from tinydigits.errors import printable

__all__ = ["Markdown", "code", "markdown", "quoted"]

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
