"""The command line of all benchmarks; see `python -m benchmarks --help`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from types import ModuleType

import typer

import benchmarks.protocol
from tinydigits.errors import Interrupted, TinydigitsError

__all__ = ["main", "names"]


def names() -> list[str]:
    """Every benchmark of this folder."""
    files = Path(__file__).parent.glob("[a-z]*.py")
    folders = (path.parent for path in Path(__file__).parent.glob("*/__init__.py"))
    return [name for name in sorted(path.stem for path in (*files, *folders)) if hasattr(_load(name), "COMMANDS")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit code: 130 after Ctrl-C, 2 for a request that makes no sense."""
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments), "--help"]
    if name == "--help":
        print(f"{benchmarks.__doc__}\nNAME: {', '.join(names())}")
        return 0
    try:
        _app(name)(rest[:-1] or rest, prog_name=f"python -m benchmarks {name}")
    except SystemExit as ended:
        return int(ended.code or 0)
    except Interrupted as error:
        print(f"{error}\nnext: the same command again", file=sys.stderr)
        return 130
    except TinydigitsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _app(name: str) -> typer.Typer:
    if name != "all" and name not in names():
        raise TinydigitsError("benchmarks", got=name, expected=f"all, {', '.join(names())}")
    modules = [_load(one) for one in ([name] if name != "all" else names())]
    app = typer.Typer(help=modules[0].__doc__ if name != "all" else None, add_completion=False, rich_markup_mode=None)
    app.callback()(lambda: None)  # so that a single command is called by its name, too
    for command in modules[0].COMMANDS if name != "all" else ():
        app.command()(_with_exit_code(command))
    with_pages = [module for module in modules if hasattr(module, "pages")]

    def page() -> None:
        """Write the pages and their pictures."""
        for one in _pages(with_pages):
            one.write()

    def check() -> int:
        """Exit 1 where a page is not what its rows say, or they are of what has changed since."""
        lines = [line for one in _pages(with_pages) for line in one.differences()]
        print("\n".join([*lines, f"next: python -m benchmarks {name} page"]) if lines else "up to date")
        return int(bool(lines))

    if with_pages:
        app.command()(page)
        app.command()(_with_exit_code(check))
    return app


def _with_exit_code(command: Callable[..., int | None]) -> Callable[..., None]:
    """What a command gives is the process's exit code."""

    @wraps(command)
    def run(*arguments: object, **options: object) -> None:
        raise typer.Exit(command(*arguments, **options) or 0)

    return run


def _pages(modules: Sequence[ModuleType]) -> Iterator[benchmarks.protocol.Page]:
    for module in modules:
        yield from module.pages()


def _load(name: str) -> ModuleType:
    return importlib.import_module(f"benchmarks.{name}")


if __name__ == "__main__":
    sys.exit(main())
