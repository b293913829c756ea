"""A table of texts, shown in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """Rows under a head; `align` has "l" or "r" for each column, `notes` are lines below.

    >>> print(Table(("layer", "parameters"), [("conv", "40")], "lr", ["40 in all"]))
    layer  parameters
    conv           40
    40 in all

    A notebook shows it in HTML.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    notes: Sequence[str] = ()

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

        body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in self.rows)
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return f"<table><thead><tr>{cells(self.head, 'th')}</tr></thead><tbody>{body}</tbody></table>{notes}"
