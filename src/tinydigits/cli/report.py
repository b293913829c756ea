"""`tinydigits report`: a run's pictures and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    targets: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Runs; else the latest.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of runs.")] = Path("runs"),
    readme: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the last run's verdict into this page, between markers.")
    ] = None,
) -> None:
    """Draw a run's pictures and write its report.md anew, with the verdict if there is one."""
    from tinydigits.report import fill_readme, write_run_report
    from tinydigits.run import open_run, write_atomic
    from tinydigits.text import read_text

    runs = [open_run(target, out) for target in targets or []] or [open_run(None, out)]
    for run in runs:
        typer.echo(write_run_report(run))
    if readme is not None:
        write_atomic(readme, fill_readme(read_text(readme), runs[-1], str(readme)))
        typer.echo(readme)
    typer.echo("next: tinydigits export pth")
