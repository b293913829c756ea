"""Copy the record and the verdict of runs to benchmarks/results/reference, a file a run.

    python -m benchmarks.collect_reference runs/20260101_120000_gap-cnn_s0 runs/…

Nothing is measured here: `tinydigits verify RUN` must have written the verdict. A row that is there already is only
replaced with --replace, so that no run is quietly preferred to another of the same seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.ending import exit_code
from tinydigits.errors import TinydigitsError
from tinydigits.report import Row, is_shipped
from tinydigits.run import Run, open_run, write_atomic

FOLDER = Path(__file__).parent / "results" / "reference"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Copy records and verdicts of runs to benchmarks/results/reference.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a finished and verified run's folder")
    parser.add_argument("--to", type=Path, default=FOLDER, help="another folder")
    parser.add_argument("--replace", action="store_true", help="replace rows of the same recipe and seed")
    options = parser.parse_args(arguments)
    return exit_code(lambda: _collect_all(options))


def _collect_all(options: argparse.Namespace) -> None:
    rows = [collect(open_run(target)) for target in options.runs]
    for row in rows:
        print(write(row, options.to, replace=options.replace))
    print("next: python -m benchmarks.results_page")


def collect(run: Run) -> Row:
    """The row of a run; raises TinydigitsError where there is none to be had.

    The run must have followed a shipped recipe to its end, and its verdict be of its own weights and of test images.
    """
    record = run.record
    if record.status != "finished":
        raise TinydigitsError(f"run {run.folder}", got=record.status, expected="finished")
    if not is_shipped(record):
        raise TinydigitsError(f"run {run.folder}", f"its recipe is not the {record.recipe['name']} of this package")
    if run.verdict is None:
        raise TinydigitsError(
            f"run {run.folder}", "has no verdict of these weights", hint=f"tinydigits verify {run.folder}"
        )
    row = Row(record=record, verdict=run.verdict)
    _ = row.test_counts  # raises where they were not asked
    return row


def write(row: Row, folder: Path, *, replace: bool) -> Path:
    """Write the row's file, a line for each of its parts."""
    path = folder / f"{row.recipe}_s{row.seed}.json"
    content = _lines(row.model_dump(mode="json"))
    if path.exists() and path.read_text(encoding="utf-8") != content and not replace:
        raise TinydigitsError(str(path), "holds another run of this recipe and seed", hint="--replace")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    return path


def _lines(tree: dict[str, dict[str, Any]]) -> str:
    """JSON with one line for each key of the second level: small, and readable in a diff."""
    parts = []
    for name, inner in tree.items():
        lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in inner.items()]
        parts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
