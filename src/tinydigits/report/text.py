"""Tables, links and pictures as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from tinydigits.escape import Markdown, markdown

__all__ = ["link", "picture", "table"]

_IN_ADDRESSES = "/:#?=&%~@+,;"  # beside letters, digits and _.-~


def table(header: Sequence[object], rows: Iterable[Sequence[object]], align: str = "") -> str:
    """A Markdown table; `align` has a letter a column, `l` or `r`, and is filled up with `l`.

    What is in its cells stays text, but for what is `Markdown` already.

    >>> print(table(["name", "size"], [["a", 1], ["b", 22]], align="lr"))
    | name | size |
    | :--- | ---: |
    | a | 1 |
    | b | 22 |
    """
    rules = ["---:" if letter == "r" else ":---" for letter in align.ljust(len(header), "l")]
    lines = [[markdown(value) for value in header], rules, *([markdown(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def picture(file: str, alt: str) -> str:
    """A picture beside the page.

    >>> picture("curves.png", "Loss [train]")
    '![Loss (train)](curves.png)'
    """
    return "!" + link(alt, file)


def link(words: str, target: str) -> Markdown:
    """A link to a file or an address.

    >>> link("a run", "runs/a run/report.md")
    '[a run](runs/a%20run/report.md)'
    """
    return Markdown(f"[{markdown(words).replace('[', '(').replace(']', ')')}]({quote(target, safe=_IN_ADDRESSES)})")
