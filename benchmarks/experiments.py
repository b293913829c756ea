"""Long series of trainings: one row for every seed, safe to stop, taken up again by the same command.

    python -m benchmarks.experiments search gap-cnn mine.toml --set optimizer.lr=0.1 --seeds 3
    python -m benchmarks.experiments record sprint      # no name: every recipe of benchmarks/results/records.toml

`search` is for finding out. It holds the same 10,000 of the training images out, never sees a test image, and appends a
line for each seed to a file (`runs/search/rows.jsonl`): recipe, seed, seconds, right validation images, machine,
versions, command.

`record` is for a figure that is published. The number of seeds stands in records.toml before the first of them starts;
each trains on all training images, at the last epoch the verifier asks the test images once, and record and verdict
become a row in benchmarks/results/records. A seed that has its row is never trained again.

Ctrl-C stops after the current step and keeps the run's checkpoint; the next call goes on from there, or from a run that
was finished but not written down yet.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.collect_reference import collect, write
from benchmarks.ending import exit_code
from tinydigits import recipe
from tinydigits.errors import TinydigitsError, TrainingDiverged
from tinydigits.recipe import Recipe
from tinydigits.report import train_command
from tinydigits.run import Run, runs_in
from tinydigits.stats import mean_and_sd, shortfall

__all__ = ["PLAN", "ROWS", "Planned", "load_plan", "record", "search"]

PLAN = Path(__file__).parent / "results" / "records.toml"
ROWS = Path(__file__).parent / "results" / "records"
NUM_VALIDATION = 10_000


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


def search(chosen: Recipe, rows: Path, *, out: Path, threads: int | None = None) -> dict[str, Any]:
    """The row of a recipe and its seed on held-out training images: read from `rows`, or trained and appended."""
    part = chosen.data
    chosen = chosen.model_copy(
        update={"data": part.model_copy(update={"validation": part.validation or NUM_VALIDATION})}
    )
    for row in read_rows(rows):
        if row["recipe"] == _tree(chosen):
            return row
    run = _train(chosen, out, threads)
    found = run.record
    assert found.result is not None  # a finished run has one
    row = {
        "recipe": found.recipe, "split": found.result.split, "correct": found.result.correct, "seen": found.result.seen,
        "loss": found.result.loss, "num_parameters": found.num_parameters, "seconds": found.seconds.model_dump(),
        "threads": found.threads, "machine": found.machine, "versions": found.versions, "commit": found.git_commit,
        "command": train_command(found, recipe_file=str(run.folder / "recipe.toml")),
    }  # fmt: skip
    rows.parent.mkdir(parents=True, exist_ok=True)
    with rows.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return row


def read_rows(rows: Path) -> list[dict[str, Any]]:
    """The rows of a search, in the order in which they were measured."""
    if not rows.is_file():
        return []
    return [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]


def record(
    planned: Planned, rows: Path = ROWS, *, out: Path, threads: int | None = None
) -> Iterator[tuple[int, int, bool]]:
    """Measure every seed of a record that has no row yet; gives right test images, images asked and whether it is new.

    Raises TinydigitsError where the recipe has more parameters than the record may.
    """
    from tinydigits.report import Row
    from tinydigits.verify import Request, keep, prepare

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
            case = prepare(Request(target=str(run.folder), threads=threads or run.record.threads))
            keep(case, case.judge())
            write(collect(run), rows, replace=False)
        row = Row.model_validate(json.loads(path.read_text(encoding="utf-8")))
        yield *row.test_counts, is_new


def _train(chosen: Recipe, out: Path, threads: int | None) -> Run:
    """A finished run of exactly this recipe and seed: one that is there, one that was stopped, or a new one."""
    from tinydigits.train import resume, train

    for run in reversed(runs_in(out)):
        if run.record.recipe == _tree(chosen) and run.record.status != "diverged":
            return resume(run, threads=threads)
    return train(chosen, out=out, threads=threads)


def _tree(chosen: Recipe) -> dict[str, Any]:
    return chosen.model_dump(mode="json", exclude_none=True)


def _spread(counts: Sequence[tuple[int, int]]) -> str:
    mean, sd = mean_and_sd([100 * correct / seen for correct, seen in counts])
    return f"{mean:.3f} %, n = 1" if len(counts) == 1 else f"{mean:.3f} ± {sd:.3f} %, n = {len(counts)}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["search", "record"])
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="a name, or for a search also a path")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="search: change every recipe")
    parser.add_argument("--seeds", type=int, default=3, help="search: how many, from --first-seed on")
    parser.add_argument("--first-seed", type=int, default=1000, help="search: not among those of a record")
    parser.add_argument("--rows", type=Path, help="another file (search) or folder (record) for the rows")
    parser.add_argument("--plan", type=Path, default=PLAN, help="record: another plan")
    parser.add_argument("--out", type=Path, help="where the runs go; runs/search or runs/records")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    out = options.out or Path("runs") / ("search" if options.mode == "search" else "records")
    return exit_code(lambda: (_search_all if options.mode == "search" else _record_all)(options, out))


def _search_all(options: argparse.Namespace, out: Path) -> None:
    for name in options.recipes or [recipe.DEFAULT]:
        counts, seconds = [], []
        try:
            for seed in range(options.first_seed, options.first_seed + options.seeds):
                chosen = recipe.load(name, [*options.set, f"seed={seed}"])
                row = search(chosen, options.rows or out / "rows.jsonl", out=out, threads=options.threads)
                counts.append((row["correct"], row["seen"]))
                seconds.append(row["seconds"]["training"])
        except TrainingDiverged as error:
            print(f"{name}: {error}", flush=True)
            continue
        print(
            f"{name} {' '.join(options.set)}: {_spread(counts)} of validation images, {row['num_parameters']:,} "
            f"parameters, {mean_and_sd(seconds)[0]:.1f} s",
            flush=True,
        )


def _record_all(options: argparse.Namespace, out: Path) -> None:
    plan = {planned.recipe: planned for planned in load_plan(options.plan)}
    for name in options.recipes or plan:
        if name not in plan:
            raise TinydigitsError(
                f"record {name}", "is not in the plan", expected=", ".join(plan), hint=str(options.plan)
            )
        planned, counts = plan[name], []
        for correct, seen, is_new in record(planned, options.rows or ROWS, out=out, threads=options.threads):
            counts.append((correct, seen))
            if is_new:
                print(f"{name} seed {len(counts) - 1}: {correct:,} of {seen:,}", flush=True)
        mean = mean_and_sd([correct / seen for correct, seen in counts])[0]
        word = "reached" if shortfall(mean, planned.accuracy) <= 0 else "missed"
        print(f"{name}: {_spread(counts)} of test images; {100 * planned.accuracy:.2f} % {word}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
