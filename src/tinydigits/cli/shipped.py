"""The verbs of every kind of TOML file that comes with the package: list the files, show one, copy one to edit."""

# Types are not postponed here: typer reads those of `show` and `cp`, which name what only their function knows.
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["shipped_files"]


def shipped_files(
    kind: str,
    columns: Sequence[str],
    rows: Callable[[], Iterable[Sequence[str]]],
    read: Callable[[str], str],
    *,
    then: str,
    example: str,
) -> typer.Typer:
    """An app with the verbs `ls`, `show` and `cp` for the files of one kind.

    `rows` gives the list's cells, the file's name first; `read` the text of a file by its name or path, and raises
    TinydigitsError for one that is not of this kind. `then` is the command that takes such a file at its end.
    """
    app = typer.Typer(help=f"List the {kind}s, show one, copy one to edit.", no_args_is_help=True)
    name_type = Annotated[str, typer.Argument(help=f"A name from `tinydigits {kind}s ls`, or a TOML file.")]
    file_type = Annotated[Path, typer.Argument(help="The TOML file to write; it must not exist.")]

    @app.command(help=f"List the {kind}s that come with the package.")
    def ls() -> None:
        from tinydigits.cli.console import plain_console, print_table
        from tinydigits.table import Table

        cells = [list(row) for row in rows()]
        align = ["r" if all(value.isdigit() for value in values) else "l" for values in zip(*cells, strict=True)]
        print_table(plain_console(), Table(columns, cells, "".join(align)), folded=columns[-1:])
        typer.echo(f"next: {then} {example}, or tinydigits {kind}s cp {example} mine.toml")

    @app.command(help=f"Print a {kind}'s file.")
    def show(name: name_type) -> None:
        typer.echo(read(name).rstrip())
        typer.echo(f"\nnext: {then} {name}", err=True)

    @app.command(help=f"Copy a {kind} to a file of your own.")
    def cp(name: name_type, file: file_type) -> None:
        from tinydigits.run import write_new

        write_new(file, read(name))
        typer.echo(f"next: {then} {file}")

    return app
