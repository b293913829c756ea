"""What a sweep costs beyond its trainings, and how many trials a minute one and two workers do.

    python -m benchmarks.sweeps              # five minutes on a quiet machine; writes benchmarks/results/sweeps.json
    make docs                                # brings docs/sweep.md up to date with it

The file is written after each round, and the same command goes on from there; --again begins anew.

*Overhead*: the time between the end of a worker's trial and the end of its next one, less what the same recipes take
in a loop of `train` calls in one process; alternating, so that a busy machine slows both alike. *Trials a minute* are
counted from the first trial's start to the last one's end, with one thread a worker: start-up is not in it. How many
cores other work took meanwhile is measured, too: two workers can be twice as fast only where two cores are free.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.provenance import stamp
from tinydigits import data, sweep
from tinydigits.machine import describe_machine, describe_versions
from tinydigits.run import write_atomic
from tinydigits.sweep import Study, Sweep
from tinydigits.train import train

FILE = Path(__file__).parent / "results" / "sweeps.json"
LIMITS = {"overhead": 0.3, "speed-up": 1.8}
SETTINGS = {"data.source": "digits", "data.batch_size": 50}


def _study(out: str, num_trials: int, epochs: int) -> Study:
    asked = Sweep(name="speed", recipe="two-conv", set=SETTINGS, vary={"epochs": [epochs]}, seeds=num_trials)
    return sweep.create(asked, out)


def overhead(num_trials: int) -> dict[str, float]:
    """Seconds of one trial in a loop of trainings and in a worker."""
    images = data.load("digits", "train")
    with tempfile.TemporaryDirectory() as out:
        study = _study(out, num_trials, epochs=1)
        started = time.perf_counter()
        for point in study.grid:
            recipe = study.recipe(point.settings, point.seed_offset)
            train(recipe, out=f"{out}/plain", device="cpu", threads=1, images=images)
        plain = time.perf_counter() - started
        started = time.perf_counter()
        sweep.work(study, threads=1, device="cpu")
        return {"plain": plain / num_trials, "worker": (time.perf_counter() - started) / num_trials}


def trials_a_minute(num_trials: int, epochs: int) -> dict[str, float]:
    """Trials a minute of one worker and of two, and how many cores other work took meanwhile."""
    row = {}
    busy, own, started = _machine_seconds(), sum(os.times()[:4]), time.perf_counter()
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as out:
            standing = sweep.join(_study(out, num_trials, epochs), workers=workers, threads=1, device="cpu")
            row[str(workers)] = 60 * num_trials / standing.spent_seconds
    others = _machine_seconds() - busy - (sum(os.times()[:4]) - own)
    return row | {"cores_of_others": max(0.0, others / (time.perf_counter() - started))}


def _machine_seconds() -> float:
    """Processor seconds of all that the machine has done, and of what its host has kept from it; by Linux's /proc."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text("ascii").split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measure(file: Path, num_trials: int, epochs: int, rounds: int) -> dict[str, Any]:
    """Make the rounds that the file does not have; those of other trials, or of another machine, do not count."""
    settings = [f"{key}={value}" for key, value in SETTINGS.items()]
    rows: dict[str, Any] = {
        **stamp(recipes=[" ".join(["two-conv", *settings])]),
        "trials": num_trials, "epochs": epochs, "overhead": [], "trials_a_minute": [],
        "machine": describe_machine(), "versions": describe_versions(),
    }  # fmt: skip
    if file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        if all(kept.get(key) == rows[key] for key in ("measured_on", "trials", "epochs", "machine", "versions")):
            rows = kept
    for _ in range(rounds):
        for name, one_round in (
            ("overhead", lambda: overhead(num_trials)),
            ("trials_a_minute", lambda: trials_a_minute(num_trials, epochs)),
        ):
            if len(rows[name]) < rounds:
                rows[name].append(one_round())
                print(f"{name}: {rows[name][-1]}", flush=True)
                write_atomic(file, json.dumps(rows, indent=1) + "\n")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30, help="of the trials that are counted a minute")
    parser.add_argument("--again", action="store_true", help="begin anew")
    parser.add_argument("--rows", type=Path, default=FILE, help="another file for the rows")
    options = parser.parse_args()
    if options.again:
        options.rows.unlink(missing_ok=True)
    rows = measure(options.rows, options.trials, options.epochs, options.rounds)
    seconds = statistics.median(row["worker"] - row["plain"] for row in rows["overhead"])
    speed_up = statistics.median(row["2"] / row["1"] for row in rows["trials_a_minute"])
    print(f"overhead {seconds:.3f} s a trial (under {LIMITS['overhead']}), two workers {speed_up:.2f}× (at least "
          f"{LIMITS['speed-up']})\nnext: make docs")  # fmt: skip
    return int(seconds >= LIMITS["overhead"] or speed_up < LIMITS["speed-up"])


if __name__ == "__main__":
    sys.exit(main())
