"""Files of strangers.

Each is given to the command that would read it: pickles that run code as weights, checkpoints and arrays; ONNX with
data outside of its folder; `.pt2` archives that hold code or climb out; headers that promise what no memory holds;
bombs; pictures that lie about their size; TOML and JSON too large or too deep; runs and weights that name code to run.
Held: exit code 2 with one message and no traceback, nothing was executed, no file was written anywhere, and the process
grew by less than 300 MB (its address space is bounded besides).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.reliability import Row
from benchmarks.reliability._forks import Forks
from benchmarks.reliability._hostile_files import CASES, Case

ORDER = 5
MAX_GROWTH_BYTES = 300_000_000
MAX_ADDRESS_BYTES = 2_000_000_000


def put(forks: Forks, folder: Path, case: Case) -> tuple[list[str], int]:
    """Make a file and give it to its command: what is not as it should be, and by how many bytes the process grew."""
    _, arguments, make = case
    inside, canary = folder / "inside", folder / "canary"
    shutil.rmtree(folder, ignore_errors=True)
    inside.mkdir(parents=True)
    make(inside, canary)
    before = _files(folder)
    ended = forks.run(arguments, cwd=inside, memory_bytes=MAX_ADDRESS_BYTES)
    found = [f"exit code {ended.code}: {_end(ended.output)}"] if ended.code != 2 else []
    found += [f"a traceback: {_end(ended.output)}"] if "Traceback" in ended.output else []
    found += [f"no message: {_end(ended.output)}"] if "error: " not in ended.output.lower() else []
    found += [f"it wrote {name}" for name in sorted(_files(folder) - before)]
    found += [f"it grew by {ended.grown_bytes:,} bytes"] if ended.grown_bytes > MAX_GROWTH_BYTES else []
    return found, ended.grown_bytes


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _end(output: str) -> str:
    return output[-1_500:]


def inject(cases: int | None = None) -> Iterator[Row]:
    """Every file of the corpus; with `cases` the first ones."""
    chosen: Sequence[Case] = CASES[:cases]
    held, grown = 0, 0
    with tempfile.TemporaryDirectory(prefix="tinydigits-") as name, Forks() as forks:
        for case in chosen:
            found, growth = put(forks, Path(name) / "case", case)
            held += not found
            grown = max(grown, growth)
            for line in found:
                print(f"{case[0]}: {line}", flush=True)
    yield Row("hostile files", len(chosen), held, f"at most {grown / 1e6:.0f} MB more memory")
