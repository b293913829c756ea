"""Sweeps whose workers are killed.

Four processes work on one study of forty short trainings; one of them after the other gets SIGKILL at a random moment,
wherever it is then, and another takes its place. In the end half a line is left in the journal, as by a full disk.
Held: the study ends with every trial there, counted once, with a run of its own; no run is left beside them (a trial
whose worker was killed goes on from its checkpoint); and to work on the finished study changes nothing.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from benchmarks.reliability import Row
from tinydigits import sweep
from tinydigits.run import runs_in
from tinydigits.sweep import Study, Sweep

ORDER = 2
KILLS, WORKERS = 20, 4
QUICK = {"data.source": "digits", "data.batch_size": 100, "epochs": 3}
_WORK = """
import sys
from tinydigits.sweep import Lease, open_study, work
target, out, storage, place = sys.argv[1:]
# On one machine a process that has ended is seen at once; the heartbeat is for others.
lease = Lease(heartbeat_seconds=0.2, grace_seconds=3, place=place) if place else Lease()
work(open_study(target, out, storage=storage or None), lease=lease, threads=1, device="cpu")
"""


def start(study: Study, out: Path, *, storage: str = "", place: str = "") -> subprocess.Popen[bytes]:
    """A worker as a process of its own; `place` is the machine that it says it is on."""
    return subprocess.Popen(
        [sys.executable, "-c", _WORK, study.name, str(out), storage, place], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def wait_until(holds: Callable[[], object], seconds: float = 300) -> None:
    """Wait for something to be so."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.02)


def miscounts(study: Study, total: int) -> list[str]:
    """Trials of a study that are missing, or count twice, or share a run; nothing where it ended as it should."""
    standing = study.standing()
    found = [] if standing.is_finished else ["it is not finished"]
    found += [] if [row.slot for row in standing.done] == [*range(total)] else [f"done: {standing.done}"]
    counted = Counter(
        trial.user_attrs["slot"] for trial in study.optuna.trials if trial.state.name == "COMPLETE"
    )  # fmt: skip
    found += [f"trial {slot} counts {counted[slot]} times" for slot in range(total) if counted[slot] != 1]
    return found + ([] if len({row.run for row in standing.done}) == total else ["two trials share a run"])


def kill_workers(out: Path, kills: int) -> tuple[list[str], int]:
    """A study whose workers are killed so many times: what is wrong in the end, and how many trials went on."""
    rng = random.Random(kills)
    total = 2 * kills
    asked = Sweep(name="k", recipe="two-conv", set=QUICK, vary={"epochs": [3, 4]}, seeds=kills)
    study = sweep.create(asked, out)
    workers = [start(study, out) for _ in range(WORKERS)]
    try:
        for number in range(kills):
            # Spread over the study, and never so late that there is nothing left to kill.
            wait_until(lambda number=number: len(study.standing().done) >= number and study.standing().num_running > 1)
            time.sleep(rng.uniform(0, 0.2))
            victim = workers.pop(rng.randrange(len(workers)))
            victim.kill()
            victim.wait()
            workers.append(start(study, out))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert not study.standing().is_finished, "else nothing was tested"
    with (study.folder / "journal.log").open("ab") as file:
        file.write(b'{"op_code":')  # what a full disk leaves of a line
    code = start(study, out).wait()
    found = miscounts(study, total) + ([f"exit code {code}"] if code else [])
    records = [run.record for run in runs_in(study.folder)]
    found += [] if len(records) == total else [f"{len(records)} runs of {total} trials"]
    found += [f"a run that is {record.status}" for record in records if record.status != "finished"]
    journal = (study.folder / "journal.log").read_bytes()
    sweep.work(study)
    found += [] if (study.folder / "journal.log").read_bytes() == journal else ["a finished study went on"]
    return found, sum(record.resumed > 0 for record in records)


def inject(cases: int | None = None, done: Collection[str] = ()) -> Iterator[Row]:
    """One study, 20 kills."""
    kills = cases or KILLS
    with tempfile.TemporaryDirectory(prefix="tinydigits-") as name:
        found, resumed = kill_workers(Path(name), kills)
    for line in found:
        print(line, flush=True)
    note = f"{2 * kills} trials, each counted once; {resumed} went on from a checkpoint"
    yield Row("SIGKILL of a worker at a random moment", kills, 0 if found else kills, "" if found else note)
