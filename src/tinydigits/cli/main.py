"""The command `tinydigits`: its verbs, and what becomes of errors."""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from tinydigits.errors import Interrupted, TinydigitsError, print_warnings

__all__ = ["app", "main"]

_VERBS = (
    "train", "verify", "report", "export", "predict", "serve", "new",
    "sweep", "models", "recipes", "sweeps", "contracts", "datasets", "runs",
)  # fmt: skip


class _Verbs(Mapping[str, Any]):
    """Each verb is the module of its name, made when it is asked for: making all takes a tenth of `predict`'s time."""

    def __iter__(self) -> Iterator[str]:
        return iter(_VERBS)

    def __len__(self) -> int:
        return len(_VERBS)

    def __getitem__(self, name: str) -> Any:
        if name not in _VERBS:
            raise KeyError(name)
        return _make_verb(name)


@cache
def _make_verb(name: str) -> Any:
    alone, module = typer.Typer(rich_markup_mode=None), import_module(f"tinydigits.cli.{name}")
    if hasattr(module, "app"):
        alone.add_typer(module.app, name=name)
    else:
        alone.command()(getattr(module, name))
    return typer.main.get_group(alone).commands[name]


class _Program(TyperGroup):
    """`tinydigits`, which has its verbs from `_Verbs`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast(Any, _Verbs())  # which typer only reads


app = typer.Typer(
    cls=_Program,
    help="Train, verify and ship tiny image classifiers whose claims hold.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: it starts faster and is the same in every terminal
    pretty_exceptions_enable=False,
    add_completion=False,  # nothing is installed into a shell
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be what no terminal can show
    print_warnings()
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
