"""Keep finished and verified runs: as rows of the results page, or as the models that come with the package.

    python -m benchmarks collect reference runs/20260101_120000_gap-cnn_s0 runs/…
    python -m benchmarks collect pretrained runs/20260101_120000_gap-cnn-tuned_s0 runs/…

Nothing is measured here: `tinydigits verify RUN` must have written the verdict.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import tinydigits.pretrained
from benchmarks.protocol import RESULTS
from benchmarks.rows import collect, write
from tinydigits.errors import TinydigitsError
from tinydigits.exports import export, of_run
from tinydigits.run import Run, open_run, write_atomic

REFERENCE = RESULTS / "reference"
PRETRAINED = Path(tinydigits.pretrained.__file__).parent
SEED = 0
FILES = ("recipe.toml", "record.json", "verdict.json", "weights.safetensors")

Runs = Annotated[list[str], typer.Argument(metavar="RUN...", help="finished and verified runs' folders")]


def reference(runs: Runs, to: Path = REFERENCE, replace: bool = False) -> None:
    """Copy record and verdict to benchmarks/results/reference, a file a run.

    A row that is there already is only replaced with --replace, so that no run is quietly preferred to another of the
    same seed.
    """
    for row in [collect(open_run(run)) for run in runs]:
        print(write(row, to, replace=replace))
    print("next: python -m benchmarks all page")


def pretrained(runs: Runs, to: Path = PRETRAINED) -> None:
    """Put runs of seed 0 into the package: `src/tinydigits/pretrained`, a folder a recipe."""
    for run in runs:
        print(place(open_run(run), to))
    print("next, as stored figures are of the weights before: python -m benchmarks exports measure --models NAME")
    print("next: python -m benchmarks views measure && python -m benchmarks pictures compare && make docs")


def place(run: Run, folder: Path) -> Path:
    """Copy a run's files; raises TinydigitsError for a run that is unverified, of a changed recipe or another seed.

    A seed that is fixed beforehand makes the weights that come with the package no choice among seeds. Weights, recipe,
    record and verdict are copied as they are; the ONNX file for `tinydigits predict` is exported beside them.
    """
    row = collect(run)
    if row.seed != SEED:
        raise TinydigitsError(f"run {run.folder}", "seed", got=row.seed, expected=SEED)
    target = folder / row.recipe
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        write_atomic(target / name, run.file(name).read_bytes())
    exported = export(of_run(Run(target)), "onnx", target)
    if not exported.holds:
        raise TinydigitsError(str(exported.path), f"does not answer as the weights do: {exported.parity}")
    return target


COMMANDS = (reference, pretrained)
