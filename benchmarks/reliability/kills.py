"""Trainings killed at any moment.

A training gets SIGKILL, either from outside at a random moment, or from inside before or in the middle of a step that
it takes on the disk: each folder made, each file opened, written, synced and renamed, in a checkpoint and between two
files of a run. Held: `tinydigits train --resume RUN` (or `train` anew, where there was no run yet) ends with
the very bytes of weights and samples that the uninterrupted training wrote, the same recipe, and the same history,
curve and record but for times, memory and the number of resumptions.
"""

from __future__ import annotations

import csv
import functools
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.reliability import Row, count
from benchmarks.reliability._forks import Ended, Forks
from benchmarks.reliability._writes import Writes

ORDER = 1
# One of each kind of state that a checkpoint carries; some seconds of training.
RECIPE = [
    "two-conv", "--set", "epochs=2", "--set", "data.source=digits", "--set", "data.batch_size=100",
    "--set", "data.validation=201", "--set", "optimizer={name='adamw', lr=0.01, accumulate=2, clip_norm=1.0}",
    "--set", "model.options.dropout=0.3", "--set", "augment=[{name='affine', degrees=10}, {name='noise'}]",
    "--set", "average={name='ema', decay=0.9}",
]  # fmt: skip
# A checkpoint some times an epoch, where a long training writes one every half minute.
OFTEN = {
    "tinydigits.training.loop:_SECONDS_BETWEEN_CHECKPOINTS": 0.0,
    "tinydigits.training.ledger:_BATCHES_PER_READING": 5,
}
_TIMES = ("started_at", "seconds", "peak_memory_bytes", "resumed")


@dataclass(frozen=True)
class Whole:
    """The uninterrupted training: what it wrote, the seconds that it took, and its steps on the disk."""

    run: Path
    threads: int
    seconds: float
    steps: list[tuple[str, str]]


def train_whole(forks: Forks, out: Path, threads: int) -> Whole:
    """Train without a fault."""
    started = time.perf_counter()
    ended = forks.run(command(out, threads), writes=Writes(out), settings=OFTEN)
    assert ended.code == 0, ended.output
    run = only_run(out)
    assert run is not None
    return Whole(run, threads, time.perf_counter() - started, ended.steps)


def command(out: Path, threads: int) -> list[str]:
    """The training that is killed."""
    return ["train", *RECIPE, "--threads", str(threads), "--device", "cpu", "--out", str(out)]


def kill_at_random(forks: Forks, out: Path, whole: Whole, rng: random.Random) -> Ended:
    """A training that is killed from outside at a random moment before its end."""
    for _ in range(1_000):
        pid = forks.start(command(out, whole.threads), settings=OFTEN)
        time.sleep(rng.uniform(0, whole.seconds))
        os.kill(pid, signal.SIGKILL)  # until `finish` it cannot be another process's
        ended = forks.finish()
        if ended.code != 0:
            return ended
        shutil.rmtree(out)  # it was faster than the one that was timed
    raise RuntimeError("no training was slow enough to be killed")


def kill_at(forks: Forks, out: Path, whole: Whole, step: int) -> Ended:
    """A training that kills itself at so many steps on the disk."""
    return forks.run(command(out, whole.threads), writes=Writes(out, at=step), settings=OFTEN)


def differences(forks: Forks, out: Path, whole: Whole) -> list[str]:
    """What is not as it should be after the killed training in `out` was taken up again; nothing where all is."""
    run = only_run(out)
    again = forks.run(command(out, whole.threads) if run is None else ["train", "--resume", str(run)], settings=OFTEN)
    if again.code != 0:
        return [f"exit code {again.code}: {again.output}"]
    run = only_run(out)
    if run is None:
        return ["there is no run"]
    found = [name for name in ("weights.safetensors", "samples.npz", "recipe.toml") if not _same(run, whole.run, name)]
    found += [
        name for name in ("history.csv", "steps.csv") if _timeless_rows(run, name) != _timeless_rows(whole.run, name)
    ]
    records = [json.loads((folder / "record.json").read_text(encoding="utf-8")) for folder in (run, whole.run)]
    found += [
        f"record.json: {key}" for key in records[1] if key not in _TIMES and records[0].get(key) != records[1][key]
    ]
    names = [{path.name for path in folder.iterdir()} for folder in (run, whole.run)]
    return found + [f"the file {name}" for name in names[0] ^ names[1]]


def only_run(out: Path) -> Path | None:
    """The one run in a folder, None where there is none yet."""
    runs = [path.parent for path in out.glob("2*/record.json")]
    assert len(runs) <= 1, runs
    return runs[0] if runs else None


def _same(run: Path, other: Path, name: str) -> bool:
    return (run / name).read_bytes() == (other / name).read_bytes()


def _timeless_rows(run: Path, name: str) -> list[dict[str, Any]]:
    with (run / name).open(encoding="utf-8", newline="") as file:
        return [{key: row[key] for key in row if key != "seconds"} for row in csv.DictReader(file)]


def inject(cases: int | None = None, done: Collection[str] = ()) -> Iterator[Row]:
    """At 50 random moments on one thread and on two, then at every step on the disk; on two threads at every fourth."""
    with tempfile.TemporaryDirectory(prefix="tinydigits-") as name, Forks() as forks:
        folder = Path(name)

        @functools.cache
        def whole_on(threads: int) -> Whole:
            train_whole(forks, folder / f"first {threads}", threads)  # fills the caches of files: the next is timed
            return train_whole(forks, folder / f"whole {threads}", threads)

        for threads, words in ((1, "one thread"), (2, "two threads")):
            fault = f"SIGKILL at a random moment, {words}"
            if fault not in done:
                kills = (cases or 50) * [functools.partial(kill_at_random, rng=random.Random(words))]
                yield _count(fault, forks, whole_on(threads), folder / fault, kills)
        for threads, words in ((1, "one thread"), (2, "two threads")):
            fault = f"SIGKILL at a step on the disk, {words}"
            if fault not in done:
                steps = [*range(1, len(whole_on(threads).steps) + 1)][:: 1 if threads == 1 else 4]
                chosen = sorted(random.Random(words).sample(steps, cases)) if cases else steps
                kills = [functools.partial(kill_at, step=at) for at in chosen]
                yield _count(fault, forks, whole_on(threads), folder / fault, kills)


def _count(fault: str, forks: Forks, whole: Whole, folder: Path, kills: Sequence[Callable[..., Ended]]) -> Row:
    never_began = 0

    def outcomes() -> Iterator[list[str]]:
        nonlocal never_began
        for number, kill in enumerate(kills):
            out = folder / str(number)
            ended = kill(forks, out, whole)
            never_began += only_run(out) is None
            yield differences(forks, out, whole) if ended.code == -signal.SIGKILL else [f"ended with {ended.code}"]
            shutil.rmtree(out, ignore_errors=True)

    row = count(fault, outcomes())
    return replace(row, note=f"{never_began} before there was a run" if never_began else "")
