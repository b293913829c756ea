"""The records: one training for every planned seed, safe to stop, taken up again by the same command.

The number of seeds stands in benchmarks/results/records.toml before the first of them starts. Each trains on all
training images, at the last epoch the verifier asks the test images once, and record and verdict become a row in
benchmarks/results/records. A seed that has its row is never trained again. What to aim at is found out beforehand by
`tinydigits sweep`, on held-out training images.

Ctrl-C stops after the current step and keeps the run's checkpoint; the next call goes on from there, or from a run that
was finished but not written down yet.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.protocol import RESULTS, read_rows
from benchmarks.rows import Row, collect, write
from tinydigits import recipe
from tinydigits.errors import TinydigitsError
from tinydigits.figures import percent, spread
from tinydigits.recipe import Recipe
from tinydigits.run import Run, runs_in
from tinydigits.stats import mean_and_sd, shortfall

__all__ = ["PLAN", "ROWS", "Planned", "load_plan", "measure", "record"]

PLAN = RESULTS / "records.toml"
ROWS = RESULTS / "records"


class Planned(BaseModel):
    """One record to be measured: its recipe, how many seeds (0, 1, …), and what the mean must reach under what size.

    `note` stands below the table of docs/frontier.md.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    seeds: Annotated[int, Field(ge=5)]
    accuracy: Annotated[float, Field(gt=0, lt=1)]
    parameters: Annotated[int, Field(ge=1)]
    note: str = ""


def load_plan(path: Path = PLAN) -> tuple[Planned, ...]:
    """The records of a plan, by recipe; raises TinydigitsError for a plan that cannot be followed."""
    try:
        planned = [Planned.model_validate(entry) for entry in tomllib.loads(path.read_text("utf-8")).get("record", [])]
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise TinydigitsError(str(path), str(error)) from error
    if len({entry.recipe for entry in planned}) < len(planned):
        raise TinydigitsError(str(path), "names a recipe twice, so the number of its seeds is not fixed")
    return tuple(planned)


def measure(
    recipes: Annotated[list[str] | None, typer.Argument(help="otherwise every recipe of the plan")] = None,
    plan: Path = PLAN,
    rows: Path = ROWS,
    out: Path = Path("runs/records"),
    threads: int | None = None,
) -> None:
    """Train what has no row yet."""
    planned = {entry.recipe: entry for entry in load_plan(plan)}
    for name in recipes or planned:
        if name not in planned:
            raise TinydigitsError(f"record {name}", "is not in the plan", expected=", ".join(planned), hint=str(plan))
        counts = []
        for correct, seen, is_new in record(planned[name], rows, out=out, threads=threads):
            counts.append((correct, seen))
            if is_new:
                print(f"{name} seed {len(counts) - 1}: {correct:,} of {seen:,}", flush=True)
        accuracy = planned[name].accuracy
        mean = mean_and_sd([correct / seen for correct, seen in counts])[0]
        word = "reached" if shortfall(mean, accuracy) <= 0 else "missed"
        print(f"{name}: {_spread(counts)} of test images; {percent(accuracy)} {word}", flush=True)


def record(
    planned: Planned, rows: Path = ROWS, *, out: Path, threads: int | None = None
) -> Iterator[tuple[int, int, bool]]:
    """Measure every seed of a record that has no row yet; gives right test images, images asked and whether it is new.

    Raises TinydigitsError where the recipe has more parameters than the record may.
    """
    from tinydigits.verification import Request, keep, prepare

    for seed in range(planned.seeds):
        path = rows / f"{planned.recipe}_s{seed}.json"
        is_new = not path.is_file()
        if is_new:
            run = _train(recipe.load(planned.recipe, [f"seed={seed}"]), out, threads)
            if run.record.num_parameters > planned.parameters:
                raise TinydigitsError(
                    f"record {planned.recipe}", "parameters", got=run.record.num_parameters,
                    expected=f"at most {planned.parameters}",
                )  # fmt: skip
            case = prepare(Request(target=run.folder, threads=threads or run.record.threads))
            keep(case, case.judge())
            write(collect(run), rows, replace=False)
        yield *Row.model_validate(read_rows(path)).test_counts, is_new


def _train(chosen: Recipe, out: Path, threads: int | None) -> Run:
    """A finished run of exactly this recipe and seed: one that is there, one that was stopped, or a new one."""
    from tinydigits.training import resume, train

    for run in reversed(runs_in(out)):
        if run.record.recipe == _tree(chosen) and run.record.status != "diverged":
            return resume(run, threads=threads)
    return train(chosen, out=out, threads=threads)


def _tree(chosen: Recipe) -> dict[str, Any]:
    return chosen.model_dump(mode="json", exclude_none=True)


def _spread(counts: Sequence[tuple[int, int]]) -> str:
    return f"{spread([correct / seen for correct, seen in counts])}, n = {len(counts)}"


COMMANDS = (measure,)
