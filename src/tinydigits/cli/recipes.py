"""`tinydigits recipes`: which recipes there are, what they say, and a copy to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List the recipes, show one, copy one to edit.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name from `tinydigits recipes ls`, or a TOML file.")]


@app.command()
def ls() -> None:
    """List the recipes that come with the package."""
    from rich.console import Console
    from rich.table import Table

    from tinydigits.recipe import DEFAULT, load, names

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "model", "data"):
        table.add_column(column, no_wrap=True)
    table.add_column("epochs", justify="right")
    table.add_column("what it is", overflow="fold")
    for name in names():
        recipe = load(name)
        mark = " (default)" if name == DEFAULT else ""
        table.add_row(name + mark, recipe.model.name, recipe.data.source, str(recipe.epochs), recipe.description)
    console = Console()
    console.print(table)
    console.print(f"next: tinydigits train {DEFAULT}, or tinydigits recipes cp {DEFAULT} mine.toml", markup=False)


@app.command()
def show(name: Name) -> None:
    """Print a recipe's file."""
    from tinydigits.recipe import load, recipe_file

    load(name)  # a file that is no recipe is an error, not a listing
    typer.echo(recipe_file(name).read_text(encoding="utf-8"), nl=False)


@app.command()
def cp(name: Name, file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")]) -> None:
    """Copy a recipe to a file of your own."""
    from tinydigits.recipe import load, recipe_file
    from tinydigits.run import write_new

    load(name)
    write_new(file, recipe_file(name).read_text(encoding="utf-8"))
    typer.echo(f"next: tinydigits train {file}")
