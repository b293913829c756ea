"""Disks that are full, read-only or broken.

Each write of a training fails in turn: before its first byte and after half of them, when a file is opened, made
durable or renamed, and when a folder is made. The error is that of a full disk (which stays full from then on), of a
disk that can only be read, or of a broken one. Held: exit code 2, one message that names the file and why, no
traceback, no half file left; and `tinydigits train --resume RUN` (or `train` anew) ends with the bytes of the
undisturbed training once there is room. A small file system of the kernel's own, one that root too may only read, and a
limit on the size of files, say the same without replaced functions. A clock that jumps during a training changes
nothing but times, and makes none negative.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from benchmarks.reliability import Row, count_each
from benchmarks.reliability._disks import read_only, small_disk
from benchmarks.reliability._forks import Ended, Forks
from benchmarks.reliability._writes import WORDS, Fault, Writes
from benchmarks.reliability.kills import OFTEN, Whole, command, differences, kill_at, only_run, train_whole

ORDER = 3
FAULTS: dict[Fault, str] = {
    "disk full": "a full disk, at a write", "read-only": "a read-only disk, at a write",
    "input/output error": "a broken disk, at a write",
}  # fmt: skip


def fail_at(forks: Forks, out: Path, whole: Whole, step: int, fault: Fault) -> list[str]:
    """A training whose step on the disk fails, and all later ones; what is not as it should be, then or afterwards."""
    ended = forks.run(
        command(out, whole.threads), writes=Writes(out, at=step, fault=fault, lasting=True), settings=OFTEN
    )
    left = leftovers(out) if fault != "read-only" else []  # there nothing can be taken away, until it is resumed
    return wrong(ended, WORDS[fault]) + left + differences(forks, out, whole)


def wrong(ended: Ended, words: str) -> list[str]:
    """What is wrong with how a command told of its fault."""
    found = [f"exit code {ended.code}: {ended.output}"] if ended.code != 2 else []
    found += [f"an error that nobody foresaw: {ended.output}"] if ended.is_unforeseen else []
    return found + ([f"it does not say {words!r}: {ended.output}"] if words not in ended.output else [])


def leftovers(out: Path) -> list[str]:
    """Files that were begun and are still there."""
    return [f"{path.name} was left" for path in out.rglob(".*draft*")]


# `latest` is a convenience for people: tinydigits finds the newest run by its record.
def must_fail(whole: Whole) -> list[int]:
    """The steps without which there is no run; the others take away, or make the link `latest`."""
    return [at for at, (what, name) in enumerate(whole.steps, 1) if what != "unlink" and not name.startswith(".latest")]


def inject(cases: int | None = None, done: Collection[str] = ()) -> Iterator[Row]:
    """At every write, with each error; then the kernel's own limits, and a clock that jumps."""
    with tempfile.TemporaryDirectory(prefix="tinydigits-") as name, Forks() as forks:
        whole = train_whole(forks, Path(name) / "whole", threads=1)
        sizes, few = (2_000, 40_000, 200_000), (100_000, 500_000, 700_000)
        jumps = (-3_600.0, -86_400.0 * 365, 86_400.0 * 365)
        rows = {words: _at_each_write(forks, Path(name), whole, fault, cases) for fault, words in FAULTS.items()}
        rows |= {
            "a limit on the size of files": (fill_file(Path(name) / str(size), size) for size in sizes[:cases]),
            "a small disk of the kernel's, full": (fill_disk(Path(name), size) for size in few[:cases]),
            "a folder that can only be read, by the kernel": (
                only_read(forks, Path(name) / f"read {begun}", whole, begun) for begun in (False, True)
            ),
            "a clock that jumps": (jump(forks, Path(name) / f"clock {by}", whole, by) for by in jumps[:cases]),
        }
        yield from count_each(rows, done)


def _at_each_write(forks: Forks, folder: Path, whole: Whole, fault: Fault, cases: int | None) -> Iterator[list[str]]:
    steps = must_fail(whole)
    for at in sorted(random.Random(fault).sample(steps, cases)) if cases else steps:
        out = folder / f"{fault} {at}"
        yield fail_at(forks, out, whole, at, fault)
        shutil.rmtree(out, ignore_errors=True)


def fill_file(out: Path, num_bytes: int) -> list[str]:
    """A training in a process of its own whose files the kernel lets grow to so many bytes."""
    import resource

    return _wrong_in_a_process(
        out, "File too large", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    )


def fill_disk(folder: Path, num_bytes: int) -> list[str]:
    """A training on a file system that has room for so many bytes; raises NotInjected."""
    disk = folder / f"disk {num_bytes}"
    disk.mkdir()
    with small_disk(disk, num_bytes):
        return _wrong_in_a_process(disk / "runs", WORDS["disk full"])


def only_read(forks: Forks, out: Path, whole: Whole, is_begun: bool) -> list[str]:
    """A training in a folder that nobody may write, or one that was killed there; raises NotInjected."""
    out.mkdir()
    if is_begun:
        kill_at(forks, out, whole, whole.steps.index(next(step for step in whole.steps if "history" in step[1])) + 1)
    run = only_run(out)
    words = command(out, whole.threads) if run is None else ["train", "--resume", str(run)]
    before = sorted(out.rglob("*"))
    with read_only(out):
        found = wrong(forks.run(words, settings=OFTEN), WORDS["read-only"])
        found += [] if sorted(out.rglob("*")) == before and bool(run) == is_begun else ["it is another folder"]
    return found + differences(forks, out, whole)


def _wrong_in_a_process(out: Path, words: str, before: Callable[[], None] | None = None) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "tinydigits", *command(out, 1)], preexec_fn=before, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return wrong(Ended(done.returncode, done.stdout + done.stderr, []), words) + leftovers(out)


def jump(forks: Forks, out: Path, whole: Whole, seconds: float) -> list[str]:
    """A training during which the clock of the day is set by so much; what is not as it should be."""
    ended = forks.run(command(out, whole.threads), settings=OFTEN, clock=seconds)
    found = [] if ended.code == 0 else [f"exit code {ended.code}: {ended.output}"]
    record = (only_run(out) or out) / "record.json"
    text = record.read_text(encoding="utf-8") if record.is_file() else ""
    return found + (["a negative time"] if '": -' in text else []) + differences(forks, out, whole)
