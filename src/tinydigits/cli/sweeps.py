"""`tinydigits sweeps`: which sweeps there are, what they say, and a copy to edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinydigits.cli.shipped import shipped_files

if TYPE_CHECKING:
    from tinydigits.sweep import Sweep


def _row(name: str, sweep: Sweep) -> tuple[str, ...]:
    trials = str(sweep.trials or sweep.budget) if sweep.search else str(len(sweep.grid()))
    return name, sweep.recipe, trials, sweep.description


app = shipped_files(
    "sweep", ("name", "recipe", "trials", "what it asks"), _row, then="tinydigits sweep", example="two-conv-dropout"
)
