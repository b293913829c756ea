"""`tinydigits datasets`: which data sets there are, what is known about them, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List the data sets, show one, copy its files.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="A name from `tinydigits datasets ls`.")]


@app.command()
def ls() -> None:
    """List the data sets with size, classes, licence and whether they are at hand."""
    from tinydigits import data
    from tinydigits.cli.console import plain_console, print_table
    from tinydigits.table import Table

    rows = []
    for name in data.names():
        info = data.describe(name)
        images = f"{info.num_train:,} + {info.num_test:,}"
        rows.append((name, images, str(len(info.classes)), info.licence, _whereabouts(name)))
    console = plain_console()
    print_table(console, Table(("name", "images", "classes", "licence", "at hand"), rows, "lrrll"), folded=("at hand",))
    console.print("images: training + test. A folder of your own works wherever a name does.", style="dim")
    console.print("next: tinydigits datasets show mnist")


@app.command()
def show(name: Name) -> None:
    """Show all that is known about one data set."""
    from tinydigits import data
    from tinydigits.cli.console import print_facts

    info = data.describe(name)
    print_facts([
        ("name", info.name),
        ("title", info.title),
        ("training images", f"{info.num_train:,}"),
        ("test images", f"{info.num_test:,}"),
        ("image", "28×28 grey levels, 0 is paper and 255 is ink"),
        ("classes", ", ".join(info.classes)),
        ("licence", info.licence),
        ("homepage", info.homepage),
        ("mirrors", ", ".join(info.mirrors) or "none needed"),
        ("at hand", _whereabouts(name)),
    ])  # fmt: skip
    typer.echo(f"next: tinydigits train --data {name}")


@app.command()
def cp(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="Where to put the four files; made if needed.")],
) -> None:
    """Copy the four IDX files of a data set into a folder, downloading them if needed."""
    from tinydigits import data

    for path in data.copy_files(name, folder):
        typer.echo(path)
    typer.echo(f"next: tinydigits train --data {_as_path(folder)}")


def _whereabouts(name: str) -> str:
    """Where a set lies, in words; what is wrong with it belongs into the list and must not end it."""
    from tinydigits import data
    from tinydigits.errors import TinydigitsError

    try:
        return data.at_hand(name) or "no, will be downloaded"
    except TinydigitsError as error:
        return f"damaged: {error.where}"


def _as_path(folder: Path) -> str:
    """The folder as `--data` takes it: a bare name could be read as a data set's."""
    return str(folder) if folder.is_absolute() or folder.parts[:1] == ("..",) else f"./{folder}"
