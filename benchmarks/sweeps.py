"""What a sweep costs beyond its trainings, and how many trials a minute one and two workers do.

The file is written after each round, and the same command goes on from there; --again begins anew.

*Overhead*: the time between the end of a worker's trial and the end of its next one, less what the same recipes take
in a loop of `train` calls in one process; alternating, so that a busy machine slows both alike. *Trials a minute* are
counted from the first trial's start to the last one's end, with one thread a worker: start-up is not in it. How many
cores other work took meanwhile is measured, too: two workers can be twice as fast only where two cores are free.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.protocol import RESULTS, machine, read_rows, write_rows
from benchmarks.provenance import sentence, stamp
from tinydigits import data, sweep
from tinydigits.report.text import table
from tinydigits.sweep import Study, Sweep
from tinydigits.training import train

FILE = RESULTS / "sweeps.json"
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


def measure(trials: int = 24, epochs: int = 30, rounds: int = 3, again: bool = False, file: Path = FILE) -> int:
    """Make the rounds that the file does not have, in five minutes; exit code 1 where a limit is missed.

    Those of other trials, or of another machine, do not count. `epochs` are of the trials that are counted a minute.
    """
    settings = [f"{key}={value}" for key, value in SETTINGS.items()]
    about = {**stamp(recipes=[" ".join(["two-conv", *settings])]), "trials": trials, "epochs": epochs}
    kept = {} if again else read_rows(file)
    if any(kept.get(key) != about[key] for key in about if key != "measured_at"):
        kept = {**about, "overhead": [], "trials_a_minute": []}
    while len(kept["trials_a_minute"]) < rounds:
        for name, one_round in (
            ("overhead", lambda: overhead(trials)), ("trials_a_minute", lambda: trials_a_minute(trials, epochs)),
        ):  # fmt: skip
            if name == "trials_a_minute" or len(kept[name]) < rounds:
                kept[name].append(one_round())
                print(f"{name}: {kept[name][-1]}", flush=True)
                write_rows(file, kept)
    extra, gains = (statistics.median(values) for values in figures(kept))
    print(f"overhead {extra:.3f} s a trial (under {LIMITS['overhead']}), two workers {gains:.2f}× (at least "
          f"{LIMITS['speed-up']})\nnext: make docs")  # fmt: skip
    return int(extra >= LIMITS["overhead"] or gains < LIMITS["speed-up"])


def figures(rows: dict) -> tuple[list[float], list[float]]:
    """Round by round: seconds a trial beyond its training, and how many times as fast two workers are as one."""
    return (
        [row["worker"] - row["plain"] for row in rows["overhead"]],
        [row["2"] / row["1"] for row in rows["trials_a_minute"]],
    )


def part() -> str:
    """The part of docs/sweep.md."""
    rows = read_rows(FILE)
    extra, gains = figures(rows)
    others = [row["cores_of_others"] for row in rows["trials_a_minute"]]
    cells = [["overhead of a trial", f"{statistics.median(extra):.3f} s ({min(extra):.3f} to {max(extra):.3f})",
              f"under {LIMITS['overhead']} s"]]  # fmt: skip
    for workers in (1, 2):
        rate = statistics.median(row[str(workers)] for row in rows["trials_a_minute"])
        cells.append([f"trials a minute, {workers} worker{'s' * (workers > 1)}", f"{rate:.0f}", ""])
    cells.append(["two workers against one", f"{statistics.median(gains):.2f}× ({min(gains):.2f} to {max(gains):.2f})",
                  f"at least {LIMITS['speed-up']}×"])  # fmt: skip
    return "\n\n".join([
        table(["what", "median (least to most)", "limit"], cells),
        f"{machine(rows)}; a thread for each worker. {len(extra)} rounds of {rows['trials']} trials of two-conv on the "
        f"bundled digits, one epoch for the overhead, {rows['epochs']} for the trials a minute. Other work took "
        f"{min(others):.2f} to {max(others):.2f} cores meanwhile: two workers can be twice as fast only where two "
        f"cores are free. {sentence(rows)}",
    ])  # fmt: skip


COMMANDS = (measure,)
