"""`tinydigits runs`: the runs of a folder, and the facts of one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinydigits.run import Record

app = typer.Typer(help="List the runs of this folder, show one.", no_args_is_help=True)

Out = Annotated[Path, typer.Option("--out", "-o", help="The folder of runs.")]


@app.command()
def ls(out: Out = Path("runs")) -> None:
    """List the runs, oldest first."""
    from rich.console import Console
    from rich.table import Table

    from tinydigits.errors import TinydigitsError
    from tinydigits.run import runs_in

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("run", overflow="fold")
    table.add_column("data", no_wrap=True)
    for column in ("parameters", "epochs", "accuracy", "seconds"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    runs = runs_in(out)
    for run in runs:
        try:
            record = run.record
        except TinydigitsError as error:  # one damaged run must not hide the others
            table.add_row(run.name, "", "", "", "", "", error.problem)
            continue
        table.add_row(
            run.name, record.source, f"{record.num_parameters:,}", f"{record.epochs}/{record.recipe['epochs']}",
            _accuracy(record), f"{record.seconds.training:.1f}", record.status,
        )  # fmt: skip
    if not runs:
        typer.echo(f"no run in {out} yet\nnext: tinydigits train")
        return
    Console().print(table)
    typer.echo(f"next: tinydigits runs show {runs[-1].name}")


@app.command()
def show(
    target: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run's folder or name; else the latest.")
    ] = None,
    out: Out = Path("runs"),
) -> None:
    """Show the facts of one run."""
    from rich.console import Console
    from rich.table import Table

    from tinydigits.run import open_run

    run = open_run(target, out)
    record = run.record
    seconds, machine = record.seconds, record.machine
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in (
        ("run", str(run.folder)),
        ("state", record.status),
        ("recipe", record.recipe["name"]),
        ("model", f"{record.recipe['model']['name']}, {record.num_parameters:,} parameters"),
        ("data", f"{record.source}: {record.num_train:,} training images, {record.num_validation:,} held out"),
        ("epochs", f"{record.epochs} of {record.recipe['epochs']}, {record.images_seen:,} images seen"),
        ("accuracy", _accuracy(record)),
        ("seconds", f"{seconds.training:.1f} training, {seconds.evaluation:.1f} evaluation"),
        ("peak memory", f"{record.peak_memory_bytes / 1e6:.0f} MB"),
        ("machine", f"{machine['processor']}, {machine['num_cores']} cores; {record.device}, {record.threads} threads"),
        ("versions", ", ".join(f"{name} {version}" for name, version in record.versions.items())),
        ("files", ", ".join(sorted(path.name for path in run.folder.iterdir() if not path.name.startswith(".")))),
    ):  # fmt: skip
        table.add_row(label, value)
    Console().print(table)
    finished = record.status == "finished"
    typer.echo(f"next: tinydigits {'verify' if finished else 'train --resume'} {run.folder}")


def _accuracy(record: Record) -> str:
    result = record.result
    return f"{100 * result.accuracy:.2f} % ({result.split})" if result else ""
