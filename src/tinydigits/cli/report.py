"""`tinydigits report`: a run's pictures and its page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinydigits.errors import printable

if TYPE_CHECKING:
    from tinydigits.run import Run

__all__ = ["report"]


def report(
    targets: Annotated[list[str] | None, typer.Argument(metavar="[RUN]", help="Runs; else the latest.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of runs.")] = Path("runs"),
    readme: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the last run's verdict into this page, between markers.")
    ] = None,
) -> None:
    """Write report.md and report.html, a single file: curves, confusion, mistakes, calibration, filters, verdict.

    Of one run they are written into the run. Several runs are compared, in the folder where they all are: intervals,
    spread over seeds, McNemar's test, frontier. A folder of runs, such as a sweep's, stands for all of them; among
    several names, what is no run is passed over.
    """
    from tinydigits.report import fill_readme, write_reports
    from tinydigits.run import open_run, write_output
    from tinydigits.text import read_text

    runs = _find_runs(targets, out) if targets else [open_run(None, out)]
    parents = {run.folder.parent for run in runs}
    folder = parents.pop() if len(parents) == 1 else out
    for path in write_reports(runs, folder):
        typer.echo(printable(str(path)))
    if readme is not None:
        write_output(readme, fill_readme(read_text(readme), runs[-1], str(readme)))
        typer.echo(printable(str(readme)))
    if len(runs) > 1:
        typer.echo(printable(f"next: tinydigits runs ls --out {folder} --sort -accuracy"))
    else:
        run = f"{runs[0].folder} " if targets else ""
        typer.echo(printable(f"next: tinydigits export {run}pth"))


def _find_runs(targets: list[str], out: Path) -> list[Run]:
    """The runs of those names, each once; of a folder of runs all of them."""
    from tinydigits.errors import TinydigitsError
    from tinydigits.run import open_run, runs_in

    runs_by_folder: dict[Path, Run] = {}
    skipped = []
    for target in targets:
        try:
            runs = [open_run(target, out)]
        except TinydigitsError as error:
            runs = runs_in(target) or runs_in(out / target)
            if not runs and len(targets) == 1:
                raise
            if not runs and not Path(target).is_file():  # runs/STUDY/* names the study's own files, too
                skipped.append(f"{target}: {error.problem}")
        runs_by_folder |= {run.folder.resolve(): run for run in runs}
    if skipped:
        typer.echo(printable(f"skipped {len(skipped)}: {'; '.join(skipped)}"), err=True)
    if not runs_by_folder:
        raise TinydigitsError("report", "none of these is a run", hint="tinydigits runs ls")
    return list(runs_by_folder.values())
