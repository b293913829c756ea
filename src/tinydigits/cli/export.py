"""`tinydigits export`: a run's model in a format that others read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export"]


def export(
    words: Annotated[
        list[str], typer.Argument(metavar="[RUN] FORMAT...", help="A run (else the latest), and one or more of: pth.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of runs.")] = Path("runs"),
    to: Annotated[Path | None, typer.Option("--to", help="The folder to write to; else the run's own.")] = None,
) -> None:
    """Write a run's model in one or more formats."""
    from tinydigits import export as exports
    from tinydigits.run import open_run

    has_run = words[0] not in exports.formats()
    run = open_run(words[0] if has_run else None, out)
    for name in words[has_run:] or [""]:
        path = exports.export(run, name, to or run.folder)
        typer.echo(f"{path} ({path.stat().st_size:,} bytes)")
    typer.echo(f"next: tinydigits verify {run.folder}")
