"""`tinydigits sweeps`: which sweeps there are, what they say, and a copy to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List the sweeps, show one, copy one to edit.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name from `tinydigits sweeps ls`, or a TOML file.")]


@app.command()
def ls() -> None:
    """List the sweeps that come with the package."""
    from rich.console import Console
    from rich.table import Table

    from tinydigits.sweep import load, names

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "recipe"):
        table.add_column(column, no_wrap=True)
    table.add_column("trials", justify="right")
    table.add_column("what it asks", overflow="fold")
    for name in names():
        sweep = load(name)
        trials = str(sweep.trials or sweep.budget) if sweep.search else str(len(sweep.grid()))
        table.add_row(name, sweep.recipe, trials, sweep.description)
    console = Console()
    console.print(table)
    console.print(f"next: tinydigits sweep {names()[0]}, or tinydigits sweeps cp {names()[0]} mine.toml", markup=False)


@app.command()
def show(name: Name) -> None:
    """Print a sweep's file."""
    from tinydigits.sweep import load, sweep_file

    load(name)  # a file that is no sweep is an error, not a listing
    typer.echo(sweep_file(name).read_text(encoding="utf-8"), nl=False)


@app.command()
def cp(name: Name, file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")]) -> None:
    """Copy a sweep to a file of your own."""
    from tinydigits.run import write_new
    from tinydigits.sweep import load, sweep_file

    load(name)
    write_new(file, sweep_file(name).read_text(encoding="utf-8"))
    typer.echo(f"next: tinydigits sweep {file}")
