"""The verbs of every kind of TOML file that comes with the package: list the files, show one, copy one to edit."""

# Types are not postponed here: typer reads those of `show` and `cp`, which name what only their function knows.
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["shipped_files"]


def shipped_files(
    kind: str, columns: Sequence[str], row: Callable[[str, Any], Sequence[str]], *, then: str, example: str
) -> typer.Typer:
    """An app with the verbs `ls`, `show` and `cp` for the files of one kind.

    The module `tinydigits.<kind>` lists their `names`, and has `load` and `file` for a name or a path of the user's.
    `row` gives the list's cells by a file's name and what was loaded, `then` is the command that takes it at its end.
    """
    room = f"tinydigits.{kind}"  # imported when it is used
    app = typer.Typer(help=f"List the {kind}s, show one, copy one to edit.", no_args_is_help=True)
    name_type = Annotated[str, typer.Argument(help=f"A name from `tinydigits {kind}s ls`, or a TOML file.")]
    file_type = Annotated[Path, typer.Argument(help="The TOML file to write; it must not exist.")]

    def text_of(name: str) -> str:
        files = import_module(room)
        files.load(name)  # a file of another kind is an error, not to be shown
        return str(files.file(name).read_text(encoding="utf-8"))

    @app.command(help=f"List the {kind}s that come with the package.")
    def ls() -> None:
        from tinydigits.cli.console import plain_console, print_table
        from tinydigits.table import Table

        files = import_module(room)
        rows = [row(name, files.load(name)) for name in files.names()]
        align = ["r" if all(cell.isdigit() for cell in cells) else "l" for cells in zip(*rows, strict=True)]
        print_table(plain_console(), Table(columns, rows, "".join(align)), folded=columns[-1:])
        typer.echo(f"next: {then} {example}, or tinydigits {kind}s cp {example} mine.toml")

    @app.command(help=f"Print a {kind}'s file.")
    def show(name: name_type) -> None:
        typer.echo(text_of(name).rstrip())
        typer.echo(f"\nnext: {then} {name}", err=True)

    @app.command(help=f"Copy a {kind} to a file of your own.")
    def cp(name: name_type, file: file_type) -> None:
        from tinydigits.run import write_new

        write_new(file, text_of(name))
        typer.echo(f"next: {then} {file}")

    return app
