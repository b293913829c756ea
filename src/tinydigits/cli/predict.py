"""`tinydigits predict`: the digits of pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np

    from tinydigits.predict import Answer

__all__ = ["predict"]

_COLUMNS = ("picture", "class", "probability", "runner-up", "")
_INKS = " .:-=+*#%@"


def predict(
    pictures: Annotated[
        list[str], typer.Argument(metavar="PICTURE...", help="Files, folders, globs, and - for standard input.")
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
) -> None:
    """Read the digit of each picture: its class, the probability, and the runner-up."""
    from tinydigits import bounds
    from tinydigits.errors import TinydigitsError
    from tinydigits.predict import classify_picture, open_model, pictures_in

    if as_json and as_csv:
        raise TinydigitsError("--json and --csv", "are two forms of the same answer", hint="one of them")
    bounds.enforce()
    files = pictures_in(pictures)
    classifier = open_model(model, out)
    answers: dict[str, list[Answer]] = {}
    failures: list[str] = []
    for file in files:
        try:
            answers[file] = list(classify_picture(file, classifier, many=many))
        except TinydigitsError as error:
            failures.append(str(error))
    if as_json:
        _write_json(answers)
    elif as_csv:
        _write_csv(answers)
    else:
        _write_table(answers, show)
        typer.echo(f"model: {classifier.name}")
    for message in failures:  # the others have been answered
        print(f"error: {message}", file=sys.stderr)
    if failures:
        raise typer.Exit(2)


def _write_json(answers: dict[str, list[Answer]]) -> None:
    import json

    rows = [
        row
        for file, found in answers.items()
        for row in ([answer.as_dict() for answer in found] or [{"source": file, "class": None}])
    ]
    typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))


def _write_csv(answers: dict[str, list[Answer]]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["source", "class", "probability", "runner_up", "runner_up_probability", "left", "top", "width",
                     "height"])  # fmt: skip
    for file, found in answers.items():
        for answer in found:
            numbers = [
                answer.label,
                f"{answer.probability:.6f}",
                answer.runner_up,
                f"{answer.runner_up_probability:.6f}",
            ]
            writer.writerow([file, *numbers, *answer.box])
        if not found:
            writer.writerow([file, *[""] * 8])


def _write_table(answers: dict[str, list[Answer]], show: bool) -> None:
    blocks: list[tuple[str, Answer | None]] = []
    for file, found in answers.items():
        blocks += [(file, answer) for answer in found] or [(file, None)]
    rows = [_row(file, answer) for file, answer in blocks]
    widths = [max(len(row[column]) for row in [_COLUMNS, *rows]) for column in range(len(_COLUMNS))]

    def line(cells: tuple[str, ...]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    if rows:
        typer.echo(line(_COLUMNS))
    for row, (_, answer) in zip(rows, blocks, strict=True):
        typer.echo(line(row))
        if show and answer is not None:
            typer.echo(_drawing(answer.image_HW))


def _row(file: str, answer: Answer | None) -> tuple[str, ...]:
    if answer is None:
        return file, "none", "", "", "nothing is written here"
    note = "unsure: perhaps no digit" if answer.is_unsure else ""
    second = f"{answer.runner_up} {_percent(answer.runner_up_probability)}"
    return file, answer.label, _percent(answer.probability), second, note


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"


def _drawing(image_HW: np.ndarray) -> str:
    """Two characters a pixel, so that it is about square in a terminal."""
    return "\n".join("".join(2 * _INKS[level * 10 // 256] for level in row).rstrip() for row in image_HW.tolist())
