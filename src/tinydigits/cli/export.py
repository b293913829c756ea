"""`tinydigits export`: a trained model in formats that others read."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinydigits.errors import printable
from tinydigits.figures import percent

if TYPE_CHECKING:
    from tinydigits.exports import Trained

__all__ = ["export"]


def export(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN] FORMAT",
            help="A run or a shipped model's name (else the latest run), and formats, or all.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of runs.")] = Path("runs"),
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The code that the run's model is built by, as file.py:Class.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The folder to write to; else the run's own, or this one for a shipped model."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", help="Where the folder that it was trained on is now, if it has moved."),
    ] = None,
) -> int:
    """Write a trained model in one or more formats, and check that each file answers as the checkpoint does.

    A file is evaluated on every test image of the model's data set. Exit code 1, and no file, where the answers differ;
    2 where a file cannot be made. With `all`, a table of every format also says how fast it is: p50 of one image, and
    images a second, each in its own process on one thread; a format that is too small for the model, or whose packages
    are not installed, has a row that says so.
    """
    from tinydigits import exports, models, pretrained
    from tinydigits.errors import TinydigitsError, unknown_name
    from tinydigits.run import is_run_name, open_run
    from tinydigits.verdict import code_note

    known_formats = exports.formats()
    is_shipped = words[0] in pretrained.names()
    is_run = is_shipped or is_run_name(words[0], out)
    formats = words[is_run:]
    if not formats:
        raise TinydigitsError("export", "no format named", expected=f"one or more of {', '.join(known_formats)}")
    for name in formats:
        if name not in [*known_formats, "all"]:
            raise unknown_name(
                "export", name, known_formats, kind="format" if is_run or len(words) > 1 else "run or format"
            )
    run = pretrained.find(words[0]).run if is_shipped else open_run(words[0] if is_run else None, out)
    if model is not None:
        models.allow(model, lasting=True)
    command = shlex.join(["tinydigits", "export", str(run.folder), *formats])
    trained = exports.of_run(run, data_folder=data, model=model, command=command)
    folder = to or (Path() if is_shipped else run.folder)  # nothing is written into the installed package
    if "all" in formats:
        code = _print_table(trained, exports.formats(trained), folder)
    else:
        code = _print_lines(trained, formats, folder)
    if trained.shift_pixels:
        typer.echo(
            f"the run's accuracy is of answers averaged over shifts of up to {trained.shift_pixels} px; a file answers "
            "to the image alone, and its accuracy may be lower or higher"
        )
    if trained.code is not None and (note := code_note(trained.code.changed)):
        typer.echo(note)
    named = f" --model {shlex.quote(model)}" if model is not None else ""
    typer.echo(printable(f"next: tinydigits verify {words[0] if is_shipped else run.folder}{named}"))
    return code


def _print_lines(trained: Trained, formats: list[str], folder: Path) -> int:
    """Each format with its size and parity; the exit code is 1 where one does not answer as the checkpoint does."""
    from tinydigits import exports

    all_hold = True
    for name in formats:
        done = exports.export(trained, name, folder)
        all_hold &= done.holds
        typer.echo(repr(done))
    return 0 if all_hold else 1


def _print_table(trained: Trained, formats: list[str], folder: Path) -> int:
    """Every format with its size, parity and speed; one that cannot be made says why, and the exit code is then 2."""
    from tinydigits import exports
    from tinydigits.cli.console import plain_console, print_table
    from tinydigits.errors import TinydigitsError
    from tinydigits.extras import NotInstalled
    from tinydigits.table import Table

    head = ("format", "bytes", "same class", "largest Δp", "accuracy", "p50 µs", "images /s")
    rows: list[list[str]] = []
    notes, code = [], 0
    console = plain_console()
    for name in formats:
        with console.status(name):
            try:
                done = exports.export(trained, name, folder)
            except TinydigitsError as error:
                state = "not installed" if isinstance(error, NotInstalled) else "not made"
                rows.append([name, state])
                notes.append(f"{name}: {state}: {error}")
                if not isinstance(error, NotInstalled | exports.TooLarge):  # neither of which is a mistake
                    code = code or 2
                continue
            code = code if done.holds else 1
            cells = [name, f"{done.num_bytes:,}", *(["not run"] if done.not_asked else [])]
            if (parity := done.parity) is not None:
                accuracy = percent(parity.correct_after / parity.seen)
                cells += [f"{parity.same:,} of {parity.seen:,}", f"{parity.largest_difference:.1e}", accuracy]
                if done.holds:
                    speed = exports.measure(name, done.path, spec=trained.code.spec if trained.code else None)
                    cells += [f"{speed.p50_us:,.0f}", f"{speed.images_per_second:,.0f}"]
        notes += [printable(f"{name}: {done.path if done.holds else f'deleted: {done.parity}'}")]
        notes += [f"{name}: {line}" for line in (done.not_asked, done.note) if line]
        rows.append(cells)
    rows = [row + [""] * (len(head) - len(row)) for row in rows]
    print_table(console, Table(head, rows, "lrrrrrr"), folded=("same class",))  # no number is cut
    for line in notes:
        typer.echo(line)
    return code
