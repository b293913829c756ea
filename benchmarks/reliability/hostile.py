"""Files of strangers.

Each is given to the command that would read it: pickles that run code as weights, checkpoints and arrays; ONNX with
data outside of its folder; `.pt2` archives that hold code or climb out; graphs that ask for hours, for terabytes or for
files; headers that promise what no memory holds; bombs; pictures that lie about their size; TOML and JSON too large or
too deep; runs and weights that name code to run. Held: exit code 2 with one message and no traceback, nothing was
executed, no file was written anywhere, and the process grew by less than 300 MB (its address space is bounded besides;
a graph's own bounds, 4 GB and a minute, are 200 MB and 2 seconds here). An honest picture of as many pixels as are read
at all is answered, and takes less than ten bytes for each of them.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.reliability import Row, count
from benchmarks.reliability._forks import Forks
from benchmarks.reliability._hostile_files import CASES, Case
from tinydigits.data.picture import MAX_PIXELS

ORDER = 5
MAX_GROWTH_BYTES = 300_000_000
MAX_ADDRESS_BYTES = 2_000_000_000
BOUNDS = {"tinydigits.bounds:MEMORY_BYTES": 200_000_000, "tinydigits.bounds:SECONDS": 2.0}


def put(forks: Forks, folder: Path, case: Case) -> tuple[list[str], int]:
    """Make a file and give it to its command: what is not as it should be, and by how many bytes the process grew."""
    _, arguments, make = case
    inside, canary = folder / "inside", folder / "canary"
    shutil.rmtree(folder, ignore_errors=True)
    inside.mkdir(parents=True)
    make(inside, canary)
    before = _files(folder)
    ended = forks.run(arguments, cwd=inside, memory_bytes=MAX_ADDRESS_BYTES, settings=BOUNDS)
    found = [f"exit code {ended.code}: {_end(ended.output)}"] if ended.code != 2 else []
    found += [f"an error that nobody foresaw: {_end(ended.output)}"] if ended.is_unforeseen else []
    found += [f"no message: {_end(ended.output)}"] if "error: " not in ended.output.lower() else []
    found += [f"it wrote {name}" for name in sorted(_files(folder) - before)]
    found += [f"it grew by {ended.grown_bytes:,} bytes"] if ended.grown_bytes > MAX_GROWTH_BYTES else []
    return found, ended.grown_bytes


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def _end(output: str) -> str:
    return output[-1_500:]


# Pictures as large as they may be: a mode, and a format that does not know a smaller size of it, as JPEG does.
LARGE = {"L": "png", "RGB": "png", "RGBA": "png", "I;16": "png", "P": "gif", "CMYK": "tiff"}
BYTES_OF_A_PIXEL = 10  # four when decoded, four as red, green, blue and opacity, and some for a band of it


def put_large(forks: Forks, folder: Path, mode: str, num_pixels: int) -> tuple[list[str], int]:
    """Let `predict` read a one in a picture of so many pixels: what is wrong, and by how much the process grew."""
    from PIL import Image

    height, width = num_pixels // 8_000, 8_000
    levels = np.full((height, width), 240, np.uint8)
    levels[height // 4 : 3 * height // 4, 3_900:4_200] = 20
    image = Image.fromarray(levels.astype(np.uint16) * 200 if mode == "I;16" else levels)
    image = image if mode == "I;16" else image.convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(levels | 128))
    path = folder / f"large.{LARGE[mode]}"
    image.save(path, **({"compress_level": 1} if LARGE[mode] == "png" else {}))
    ended = forks.run(["predict", str(path), "--json"], memory_bytes=MAX_ADDRESS_BYTES)
    path.unlink()
    found = [] if ended.code == 0 and '"class": "1"' in ended.output else [_end(ended.output)]
    most = BYTES_OF_A_PIXEL * num_pixels
    found += [f"it grew by {ended.grown_bytes:,} bytes"] if ended.grown_bytes > most else []
    return found, ended.grown_bytes


def inject(cases: int | None = None, done: Collection[str] = ()) -> Iterator[Row]:
    """Every file of the corpus, and pictures just under the bound; with `cases` the first ones."""
    with tempfile.TemporaryDirectory(prefix="tinydigits-") as name, Forks() as forks:
        largest = MAX_PIXELS // 8_000 * 8_000
        corpus = [(case[0], functools.partial(put, forks, Path(name) / "case", case)) for case in CASES[:cases]]
        large = [(mode, functools.partial(put_large, forks, Path(name), mode, largest)) for mode in [*LARGE][:cases]]
        for fault, every in (("hostile files", corpus), ("honest pictures of 50 million pixels", large)):
            if fault in done:
                continue
            grown: list[int] = []
            row = count(fault, _outcomes(every, grown))
            yield replace(row, note=f"at most {max(grown) / 1e6:.0f} MB more memory")


def _outcomes(
    every: Iterable[tuple[str, Callable[[], tuple[list[str], int]]]], grown: list[int]
) -> Iterator[list[str]]:
    for name, give in every:
        found, growth = give()
        grown.append(growth)
        yield [f"{name}: {line}" for line in found]
