"""`tinydigits sweeps`: which sweeps there are, what they say, and a copy to edit."""

from __future__ import annotations

from collections.abc import Iterator

from tinydigits.cli.shipped import shipped_files


def _rows() -> Iterator[tuple[str, ...]]:
    from tinydigits.sweep import load, names

    for name in names():
        sweep = load(name)
        trials = str(sweep.trials or sweep.budget) if sweep.search else str(len(sweep.grid()))
        yield name, sweep.recipe, trials, sweep.description


def _read(name: str) -> str:
    from tinydigits.sweep import load, sweep_file

    load(name)  # a file that is no sweep is an error, not a listing
    return sweep_file(name).read_text(encoding="utf-8")


app = shipped_files(
    "sweep", ("name", "recipe", "trials", "what it asks"), _rows, _read, then="tinydigits sweep",
    example="two-conv-dropout",
)  # fmt: skip
