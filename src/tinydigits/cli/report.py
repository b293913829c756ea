"""`tinydigits report`: a run's pictures and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    targets: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs; else the latest.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of runs.")] = Path("runs"),
) -> None:
    """Draw a run's pictures and write its report.md anew, with the verdict if there is one."""
    from tinydigits.report import write_run_report
    from tinydigits.run import open_run

    for run in [open_run(target, out) for target in targets or []] or [open_run(None, out)]:
        typer.echo(write_run_report(run))
    typer.echo("next: tinydigits export pth")
