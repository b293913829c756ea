"""How tables and lines of foreign text are shown on a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

__all__ = ["plain_console"]


def plain_console(**options: Any) -> Console:
    """A console that shows text as it is: `[bold]` and `:smile:` in a layer's name are no markup.

    >>> plain_console().print("[bold]conv[/] :smile:")
    [bold]conv[/] :smile:
    """
    return Console(markup=False, emoji=False, **options)
