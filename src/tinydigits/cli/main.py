"""The command `tinydigits`: its verbs, and what becomes of errors."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import Annotated

import typer

from tinydigits.cli import (
    contracts,
    datasets,
    export,
    models,
    new,
    predict,
    recipes,
    report,
    runs,
    serve,
    sweep,
    sweeps,
    train,
    verify,
)
from tinydigits.errors import Interrupted, TinydigitsError

__all__ = ["app", "main"]

app = typer.Typer(
    help="Train, verify and ship tiny image classifiers whose claims hold.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: it starts faster and is the same in every terminal
    pretty_exceptions_enable=False,
    add_completion=False,  # nothing is installed into a shell
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(train.train)
app.command()(verify.verify)
app.command()(report.report)
app.command()(export.export)
app.command()(predict.predict)
app.command()(serve.serve)
app.command()(new.new)
for verb in (sweep, models, recipes, sweeps, contracts, datasets, runs):
    app.add_typer(verb.app, name=verb.__name__.rpartition(".")[2])


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"tinydigits {version('tinydigits')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (also by TINYDIGITS_DEBUG=1).")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Train, verify and ship tiny image classifiers whose claims hold."""
    if debug:
        os.environ["TINYDIGITS_DEBUG"] = "1"


def main() -> None:
    """Run the command line; exit 0 for yes, 1 for a verdict of no, 2 for bad input, 130 after Ctrl-C."""
    # At the end Python searches all that was imported for garbage: a tenth of the time of `predict`, for nothing.
    atexit.register(gc.freeze)
    try:
        app(prog_name="tinydigits")
    except TinydigitsError as error:
        if os.environ.get("TINYDIGITS_DEBUG") == "1":
            raise
        stopped = isinstance(error, Interrupted)
        print(f"{'stopped' if stopped else 'error'}: {error}", file=sys.stderr)
        sys.exit(130 if stopped else 2)
    except KeyboardInterrupt:
        sys.exit(130)
