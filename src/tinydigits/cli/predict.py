"""`tinydigits predict`: the digits of pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinydigits.figures import percent

if TYPE_CHECKING:
    import numpy as np

    from tinydigits.prediction import Answer, Classifier

    Found = tuple[str, list[Answer]]
    """A picture, and what was found in it."""

__all__ = ["predict"]

_COLUMNS = ("picture", "class", "probability", "runner-up", "")
_INKS = " .:-=+*#%@"
_NOTHING = dict.fromkeys(
    ("class", "probability", "runner_up", "runner_up_probability", "unsure", "box", "probabilities")
)  # a picture without ink has the keys of the others


def predict(
    pictures: Annotated[
        list[str], typer.Argument(metavar="PICTURE", help="Files, folders, globs, and - for standard input.")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A model that comes with the package, an .onnx file, or a run that has one."
        ),
    ] = None,
    many: Annotated[bool, typer.Option("--many", help="Find and read each digit of a picture.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Show the 28×28 that the model saw.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the answers as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write the answers as CSV.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of runs.")] = Path("runs"),
) -> int:
    """Read the digit of each picture: its class, the probability, and the runner-up."""
    from tinydigits import bounds
    from tinydigits.errors import TinydigitsError
    from tinydigits.prediction import classify_picture, open_model, pictures_in

    if as_csv and (as_json or show):
        other = "--json" if as_json else "--show"
        raise TinydigitsError(f"--csv and {other}", "do not go together", hint="--json --show has all there is")
    if pictures.count("-") > 1:
        raise TinydigitsError("-", "standard input can be read once")
    bounds.enforce()
    files: list[str] = []
    num_failures = 0

    def complain(error: TinydigitsError) -> None:
        nonlocal num_failures
        num_failures += 1
        print(f"error: {error}", file=sys.stderr)  # the others are answered

    for word in pictures:
        try:
            files += pictures_in(word)
        except TinydigitsError as error:
            complain(error)
    classifier = open_model(model, out)

    def answered() -> Iterator[Found]:
        for file in files:
            try:
                answers = list(classify_picture(file, classifier, many=many))
            except TinydigitsError as error:
                complain(error)
            else:
                yield file, answers

    if as_json:
        _write_json(answered(), show)
    elif as_csv:
        _write_csv(answered())
    else:
        _write_table(answered(), files, classifier, show)
    return 2 if num_failures else 0


def _write_json(answered: Iterable[Found], show: bool) -> None:
    import json

    rows = []
    for file, answers in answered:
        rows += [answer.as_dict(with_image=show) for answer in answers] or [{"source": file, **_NOTHING}]
    typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))


def _write_csv(answered: Iterable[Found]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["source", "class", "probability", "runner_up", "runner_up_probability", "unsure", "left", "top",
                     "width", "height"])  # fmt: skip
    for file, answers in answered:
        for answer in answers:
            row = [answer.label, f"{answer.probability:.6f}", answer.runner_up,
                   f"{answer.runner_up_probability:.6f}", str(answer.is_unsure).lower()]  # fmt: skip
            writer.writerow([file, *row, *answer.box])
        if not answers:
            writer.writerow([file, *[""] * 9])
        sys.stdout.flush()


def _write_table(answered: Iterable[Found], files: list[str], classifier: Classifier, show: bool) -> None:
    from tinydigits.errors import printable

    # As wide as any row may be: each is written as soon as it is known.
    longest = max(len("class"), *map(len, classifier.classes))
    widths = [max(len("picture"), *(len(printable(file)) for file in files), 0), longest, len("probability"),
              longest + len(" 50.0 %"), 0]  # fmt: skip

    def write(cells: tuple[str, ...]) -> None:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())

    is_begun = False
    for file, answers in answered:
        if not is_begun:
            is_begun = True
            write(_COLUMNS)
        if not answers:
            write((printable(file), "none", "", "", "nothing is written here"))
        for answer in answers:
            note = "unsure: perhaps no digit" if answer.is_unsure else ""
            if answer.looks_like > 1:
                note = f"looks like {answer.looks_like} digits: --many reads each"
            second = f"{answer.runner_up} {percent(answer.runner_up_probability, 1)}"
            write((printable(file), answer.label, percent(answer.probability, 1), second, note))
            if show:
                typer.echo(_drawing(answer.image_HW))
    if is_begun:
        typer.echo(printable(f"model: {classifier.name}"))


def _drawing(image_HW: np.ndarray) -> str:
    """Two characters a pixel, so that it is about square in a terminal."""
    return "\n".join("".join(2 * _INKS[level * 10 // 256] for level in row).rstrip() for row in image_HW.tolist())
