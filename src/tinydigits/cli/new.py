"""`tinydigits new`: a project to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["new"]


def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make, or an empty one.")],
    data: Annotated[
        str, typer.Option("--data", "-d", help="What to train on: mnist, or digits, which needs no download.")
    ] = "mnist",
) -> None:
    """Write a project: a model, its recipe and contract, tests, a workflow for GitHub and a README."""
    from tinydigits import scaffold
    from tinydigits.origin import requirement

    for path in scaffold.new(folder, data):
        typer.echo(path)
    if requirement() is None:
        typer.echo(f"{folder / 'requirements.txt'} needs a line of yours: where your CI can install tinydigits from")
    for step in (f"cd {folder}", "tinydigits train recipe.toml", "tinydigits verify"):
        typer.echo(f"next: {step}")
