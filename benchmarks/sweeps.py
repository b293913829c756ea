"""What a sweep costs beyond its trainings, and how many trials a minute one and two workers do.

    python -m benchmarks.sweeps              # some minutes on a quiet machine; writes benchmarks/results/sweeps.json
    make docs                                # brings docs/sweep.md up to date with it

*Overhead*: the time between the end of a worker's trial and the end of its next one, less what the same recipes take
in a loop of `train` calls in one process; alternating, so that a busy machine slows both alike. *Trials a minute* are
counted from the first trial's start to the last one's end, with one thread a worker: start-up is not in it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tinydigits import data, sweep
from tinydigits.machine import describe_machine, describe_versions
from tinydigits.run import write_atomic
from tinydigits.sweep import Sweep
from tinydigits.train import train

FILE = Path(__file__).parent / "results" / "sweeps.json"
LIMITS = {"overhead": 0.3, "speed-up": 1.8}
SETTINGS = {"data.source": "digits", "data.batch_size": 50}


def overhead(num_trials: int, rounds: int) -> list[dict[str, float]]:
    """Seconds of one trial in a loop of trainings and in a worker, for each round."""
    images, rows = data.load("digits", "train"), []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as out:
            asked = Sweep(
                name=f"overhead-{number}", recipe="two-conv", set=SETTINGS, vary={"epochs": [1]}, seeds=num_trials
            )
            study = sweep.create(asked, out)
            started = time.perf_counter()
            for point in study.grid:
                recipe = study.recipe(point.settings, point.seed_offset)
                train(recipe, out=f"{out}/plain", device="cpu", threads=1, images=images)
            plain = time.perf_counter() - started
            started = time.perf_counter()
            sweep.work(study, threads=1, device="cpu")
            rows.append({"plain": plain / num_trials, "worker": (time.perf_counter() - started) / num_trials})
    return rows


def trials_a_minute(num_trials: int, rounds: int, epochs: int) -> list[dict[str, float]]:
    """Trials a minute of one worker and of two, in turn."""
    rows = []
    for number in range(rounds):
        row = {}
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as out:
                vary = {"epochs": [epochs]}
                asked = Sweep(name=f"rate-{number}", recipe="two-conv", set=SETTINGS, vary=vary, seeds=num_trials)
                study = sweep.create(asked, out)
                standing = sweep.join(study, workers=workers, threads=1, device="cpu")
                row[str(workers)] = 60 * num_trials / standing.spent_seconds
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30, help="of the trials that are counted a minute")
    options = parser.parse_args()
    rows: dict[str, Any] = {
        "trials": options.trials, "epochs": options.epochs,
        "overhead": overhead(options.trials, options.rounds),
        "trials_a_minute": trials_a_minute(options.trials, options.rounds, options.epochs),
        "machine": describe_machine(), "versions": describe_versions(),
    }  # fmt: skip
    write_atomic(FILE, json.dumps(rows, indent=1) + "\n")
    seconds = statistics.median(row["worker"] - row["plain"] for row in rows["overhead"])
    speed_up = statistics.median(row["2"] / row["1"] for row in rows["trials_a_minute"])
    print(f"overhead {seconds:.3f} s a trial (under {LIMITS['overhead']}), two workers {speed_up:.2f}× (at least "
          f"{LIMITS['speed-up']})\nnext: make docs")  # fmt: skip


if __name__ == "__main__":
    main()
