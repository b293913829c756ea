"""`tinydigits contracts`: the contracts that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List the contracts, show one, copy one to edit.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name from `tinydigits contracts ls`, or a TOML file.")]


@app.command()
def ls() -> None:
    """List the contracts and what they claim."""
    from rich.console import Console
    from rich.table import Table

    from tinydigits import contract

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("claim", overflow="fold")
    for name in contract.names():
        table.add_row(name, contract.load(name).description)
    console = Console()
    console.print(table)
    console.print("next: tinydigits contracts show under-25k", markup=False)


@app.command()
def show(name: Name) -> None:
    """Show the text of a contract."""
    from tinydigits import contract

    typer.echo(contract.load(name).text.rstrip())
    typer.echo(f"\nnext: tinydigits verify --contract {name}", err=True)


@app.command()
def cp(name: Name, file: Annotated[Path, typer.Argument(help="The TOML file to write; it must not exist.")]) -> None:
    """Copy a contract to a file of your own."""
    from tinydigits import contract, run

    run.write_new(file, contract.load(name).text)
    typer.echo(f"next: tinydigits verify --contract {file}")
