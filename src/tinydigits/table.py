"""A table of texts, shown in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeVar

__all__ = ["Listing", "Table"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Table:
    """Rows under a head; `align` has "l" or "r" for each column, `notes` are lines below.

    A notebook shows it in HTML, the rows whose numbers are in `bold` in bold type.

    >>> print(Table(("layer", "parameters"), [("conv", "40")], "lr", ["40 in all"]))
    layer  parameters
    conv           40
    40 in all
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    notes: Sequence[str] = ()
    bold: Collection[int] = ()

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if side == "r" else cell.ljust(width)
                for cell, width, side in zip(row, widths, self.align, strict=True)
            ).rstrip()
            for row in (self.head, *self.rows)
        ]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        sides = ["right" if side == "r" else "left" for side in self.align]

        def cells(row: Sequence[str], tag: str) -> str:
            return "".join(
                f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>'
                for cell, side in zip(row, sides, strict=True)
            )

        body = "".join(
            f"<tr>{cells(row, 'th' if number in self.bold else 'td')}</tr>" for number, row in enumerate(self.rows)
        )
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return f"<table><thead><tr>{cells(self.head, 'th')}</tr></thead><tbody>{body}</tbody></table>{notes}"


class Listing(list[Item]):
    """A list that shows each of its items on a line, and in a notebook side by side as each shows itself.

    >>> Listing([1, 2])
    1
    2
    """

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "[]"

    def _repr_html_(self) -> str | None:
        if not all(hasattr(item, "_repr_html_") for item in self):
            return None  # the plain text is shown
        items = "".join(f"<div>{item._repr_html_()}</div>" for item in self)  # type: ignore[attr-defined]
        return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{items}</div>'
