"""Put trained and verified runs into the package: `src/tinydigits/pretrained`, a folder a recipe.

    python -m benchmarks.collect_pretrained runs/20260101_120000_gap-cnn-tuned_s0 runs/…

A run must be of seed 0, which is fixed beforehand, so that the weights that come with the package are no choice among
seeds. Weights, recipe, record and verdict are copied as they are; the rest of a run is left out. The ONNX file that
`tinydigits predict` asks is exported beside them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import tinydigits.pretrained
from benchmarks.collect_reference import collect
from benchmarks.ending import exit_code
from tinydigits.errors import TinydigitsError
from tinydigits.export import export, of_run
from tinydigits.run import Run, open_run, write_atomic

FOLDER = Path(tinydigits.pretrained.__file__).parent
SEED = 0
FILES = ("recipe.toml", "record.json", "verdict.json", "weights.safetensors")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Put trained and verified runs of seed 0 into the package.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a finished and verified run's folder")
    parser.add_argument("--to", type=Path, default=FOLDER, help="another folder")
    options = parser.parse_args(arguments)
    return exit_code(lambda: _place_all(options))


def _place_all(options: argparse.Namespace) -> None:
    for target in options.runs:
        print(place(open_run(target), options.to))
    print("next, as stored figures are of the weights before: python -m benchmarks.exports measure --models NAME")
    print("next: python -m benchmarks.views && python -m benchmarks.pictures compare && make docs")


def place(run: Run, folder: Path) -> Path:
    """Copy a run's files; raises TinydigitsError for a run that is unverified, of a changed recipe or another seed."""
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


if __name__ == "__main__":
    sys.exit(main())
