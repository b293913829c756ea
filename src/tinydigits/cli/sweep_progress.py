"""How a sweep shows itself: a bar on a terminal, one plain line a trial elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import typer

from tinydigits.figures import percent, setting
from tinydigits.progress import clock

if TYPE_CHECKING:
    from tinydigits.sweep import Row, Standing

__all__ = ["watch"]


@contextlib.contextmanager
def watch() -> Iterator[Callable[[Standing], None]]:
    """What is to be told each time that somebody looks where the study stands."""
    shown: set[int] = set()

    def new(standing: Standing) -> list[Row]:
        rows = [row for row in standing.done if row.slot not in shown]
        shown.update(row.slot for row in rows)
        return rows

    if not sys.stdout.isatty():

        def say(standing: Standing) -> None:
            first = not shown
            rows = new(standing)
            if first and len(rows) > 1:
                typer.echo(f"{len(rows)} trials were there already; {_state(standing)}")
                return
            for row in rows:
                typer.echo(f"{_line(row)}  {_state(standing)}")

        yield say
        return

    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("trials {task.completed}"), BarColumn(bar_width=24), TextColumn("{task.fields[state]}")
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("", total=None, state="")

        def show(standing: Standing) -> None:
            for row in new(standing):
                bar.console.print(_line(row), markup=False, highlight=False)
            bar.update(task, total=standing.total, completed=len(standing.done), state=_state(standing))

        yield show


def _line(row: Row) -> str:
    settings = " ".join(f"{key}={setting(value)}" for key, value in row.settings.items())
    accuracy = "" if row.value is None else percent(row.value)
    word = accuracy if row.state == "finished" else f"{row.state} {accuracy}".strip()
    return f"{row.slot + 1}: {settings} seed {row.seed}  {word}  {row.seconds:.1f} s"


def _state(standing: Standing) -> str:
    total = "" if standing.total is None else f" of {standing.total}"
    parts = [f"{len(standing.done)}{total} done"]
    parts += [f"best {percent(standing.best.value)}"] if standing.best and standing.best.value is not None else []
    left = standing.seconds_left
    parts += [f"{clock(left)} left"] if left is not None and not standing.is_finished else []
    return ", ".join(parts)
