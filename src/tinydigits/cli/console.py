"""How tables and lines of foreign text are shown on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from rich.console import Console

from tinydigits.errors import printable
from tinydigits.table import Table

__all__ = ["plain_console", "print_facts", "print_table"]


def plain_console(**options: Any) -> Console:
    """A console that shows text as it is: `[bold]` and `:smile:` in a layer's name are no markup.

    >>> plain_console().print("[bold]conv[/] :smile:")
    [bold]conv[/] :smile:
    """
    return Console(markup=False, emoji=False, **options)


def print_table(
    console: Console, table: Table, *, folded: Collection[str] = (), style: Callable[[str, str], str] = lambda *_: ""
) -> None:
    """Print a table within the console's width: columns of the names `folded` take several lines, others are never cut.

    >>> print_table(plain_console(), Table(("layer", "parameters"), [("conv", "40")], "lr"))
    layer  parameters
    conv           40

    `style` gives a cell's colour by its column's name and its text.
    """
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable(box=None, header_style="bold", pad_edge=False)
    for name, side in zip(table.head, table.align, strict=True):
        is_number = side == "r"
        grid.add_column(
            name.replace(" ", "\n") if is_number and name not in folded else name,
            justify="right" if is_number else "left",
            overflow="fold", no_wrap=name not in folded,
        )  # fmt: skip
    for row in table.rows:
        grid.add_row(*(Text(cell, style(name, cell)) for name, cell in zip(table.head, row, strict=True)))
    console.print(grid, highlight=False)
    for note in table.notes:
        console.print(note, highlight=False)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names and their values below each other; a long value takes several lines.

    >>> print_facts([("state", "finished")])
    state  finished
    """
    from rich.table import Table as RichTable

    grid = RichTable.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(name, printable(str(value)))
    plain_console().print(grid)
