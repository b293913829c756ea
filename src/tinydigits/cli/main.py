"""The command `tinydigits`: its verbs, and what becomes of errors."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from tinydigits.cli.streams import usable_streams
from tinydigits.errors import Interrupted, TinydigitsError, first_line, print_warnings
from tinydigits.signals import Terminated, sigterm_raises

__all__ = ["app", "main"]

_WHERE = "tinydigits --debug … shows where"  # in every message that no part of the package has written
_COMMANDS = ("train", "verify", "report", "export", "predict", "serve", "new")
_GROUPS = ("sweep", "models", "recipes", "sweeps", "contracts", "datasets", "runs")  # of commands
_VERBS = _COMMANDS + _GROUPS


@cache
def _make_verb(name: str) -> Any:
    alone, module = typer.Typer(rich_markup_mode=None), import_module(f"tinydigits.cli.{name}")
    if name in _GROUPS:
        alone.add_typer(module.app, name=name)
    else:
        alone.command()(getattr(module, name))
    command = typer.main.get_group(alone).commands[name]
    for verb in getattr(command, "commands", {name: command}).values():
        verb.callback = _exits_by_its_answer(verb.callback)
    return command


def _exits_by_its_answer(verb: Callable[..., int | None]) -> Callable[..., NoReturn]:
    """The verb, whose exit code is what it returns and nothing else: 1 is the answer no, 0 any other answer.

    Verbs run code of others. What ends the process from there, with whatever code, is an error like any other.
    """

    @wraps(verb)
    def run(**arguments: Any) -> NoReturn:
        try:
            with sigterm_raises():
                code = verb(**arguments) or 0
        except TinydigitsError:
            raise
        except KeyboardInterrupt as error:
            code = 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
        except BaseException as error:
            raise _unforeseen(error) from error
        raise typer.Exit(code)

    return run


class _Program(TyperGroup):
    """Each verb is the module of its name, made when it is asked for: making all takes a tenth of `predict`'s time."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = dict.fromkeys(_VERBS)  # type: ignore[assignment]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return _make_verb(cmd_name) if cmd_name in _VERBS else None


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


def main() -> NoReturn:
    """Run the command line and exit: 0, 1 where a verdict or an export's parity was reached and does not hold.

    130 after Ctrl-C, 143 after SIGTERM, and 2, with one sentence, for whatever else kept the command from its answer.
    """
    # At the end Python searches all that was imported for garbage: a tenth of the time of `predict`, for nothing.
    atexit.register(gc.freeze)
    print_warnings()
    try:
        with usable_streams():
            app(prog_name="tinydigits")
    except SystemExit as end:  # by typer, see `_exits_by_its_answer`
        code = end.code if isinstance(end.code, int) else 2
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException as error:
        code = _explain(error)
    sys.exit(code)


def _explain(error: BaseException) -> int:
    """Say on standard error what went wrong, and give the exit code."""
    if os.environ.get("TINYDIGITS_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    shown = error if isinstance(error, TinydigitsError) else _unforeseen(error)
    is_stopped = isinstance(shown, Interrupted)
    print(f"{'stopped' if is_stopped else 'error'}: {shown}", file=sys.stderr)
    return 128 + shown.signal_number if isinstance(shown, Interrupted) else 2


def _unforeseen(error: BaseException) -> TinydigitsError:
    """What nobody has thought of, in a sentence."""
    if isinstance(error, typer.Exit | typer.Abort) or not isinstance(error, Exception):
        words = " ".join(filter(None, [type(error).__name__, str(error)]))
        return TinydigitsError("tinydigits", f"was ended by code that it ran ({words})", hint=_WHERE)
    if isinstance(error, OSError) and error.strerror and isinstance(error.filename, str):
        return TinydigitsError(error.filename, error.strerror, hint=_WHERE)
    return TinydigitsError(f"unforeseen {type(error).__name__}", first_line(error), hint=_WHERE)
