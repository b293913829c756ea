"""How tables and lines of foreign text are shown on a terminal."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from rich.console import Console

from tinydigits.table import Table

__all__ = ["plain_console", "print_table"]


def plain_console(**options: Any) -> Console:
    """A console that shows text as it is: `[bold]` and `:smile:` in a layer's name are no markup.

    >>> plain_console().print("[bold]conv[/] :smile:")
    [bold]conv[/] :smile:
    """
    return Console(markup=False, emoji=False, **options)


def print_table(console: Console, table: Table, *, folded: Collection[str] = ()) -> None:
    """Print a table within the console's width: columns of the names `folded` take several lines, others are never cut.

    >>> print_table(plain_console(), Table(("layer", "parameters"), [("conv", "40")], "lr"))
    layer  parameters
    conv           40
    """
    from rich.table import Table as RichTable

    grid = RichTable(box=None, header_style="bold", pad_edge=False)
    for name, side in zip(table.head, table.align, strict=True):
        is_number = side == "r"
        grid.add_column(
            name.replace(" ", "\n") if is_number else name, justify="right" if is_number else "left",
            overflow="fold", no_wrap=name not in folded,
        )  # fmt: skip
    for row in table.rows:
        grid.add_row(*row)
    console.print(grid, highlight=False)
    for note in table.notes:
        console.print(note, highlight=False)
