"""`tinydigits models`: the registered models, those that come trained, and the layer table of any."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinydigits.cli.model_input import parse_shape

app = typer.Typer(
    help="List the models and those that come trained, show one's layers, copy one to edit.", no_args_is_help=True
)


@app.command()
def ls() -> None:
    """List the registered models, then the trained ones that come with the package."""
    from tinydigits import models, pretrained
    from tinydigits.cli.console import plain_console, print_table
    from tinydigits.table import Table

    console = plain_console()
    rows = [(name, models.summary(name)) for name in models.names()]
    print_table(console, Table(("name", "architecture"), rows, "ll"), folded=("architecture",))
    console.print()
    # Where all do not fit, names are folded and no number is cut.
    shelf = pretrained.Shelf(map(pretrained.find, pretrained.names()))
    print_table(console, shelf.table(), folded=("architecture", "test accuracy"))
    console.print(f"next: tinydigits models show {models.names()[0]}")
    for name in pretrained.names()[:1]:
        console.print(f"next: tinydigits verify {name}")


@app.command()
def show(
    spec: Annotated[str, typer.Argument(help="A registered model, file.py:Class or package.module:Class.")],
    input_shape: Annotated[
        str, typer.Option("--input", help="The shape of one input: channels, rows, columns.")
    ] = "1x28x28",
) -> None:
    """Show a model's layers: output shape, parameters, receptive field, multiply-adds; then totals and sizes."""
    from tinydigits import models
    from tinydigits.cli.console import plain_console, print_table
    from tinydigits.errors import foreign_code
    from tinydigits.trace import trace

    with foreign_code(f"model {spec}", "when it is called"):
        traced = trace(models.build(spec), parse_shape(input_shape))
    console = plain_console()
    print_table(console, traced.table(), folded=("layer", "kind"))
    console.print(f"next: tinydigits verify {spec} --contract under-25k")


@app.command()
def cp(
    name: Annotated[str, typer.Argument(help="A name from `tinydigits models ls`.")],
    file: Annotated[Path, typer.Argument(help="The Python file to write; it must not exist.")],
) -> None:
    """Copy a registered model's source to a file of your own."""
    from tinydigits import models, run

    text = models.module_file(name).read_text(encoding="utf-8")
    run.write_new(file, text)
    class_name = next(line for line in text.splitlines() if line.startswith("class ")).split()[1].split("(")[0]
    typer.echo(f"next: tinydigits models show {file}:{class_name}")
