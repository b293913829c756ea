"""Who works on a trial, and whether that process is still there."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Lease", "here", "is_gone"]


@functools.cache
def here() -> str:
    """The machine, as far as process numbers mean the same: a hash of its name, its boot and its process namespace.

    >>> here() == here(), len(here())
    (True, 12)
    """
    facts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            facts.append(str(Path(path).readlink()) if path.endswith("pid") else Path(path).read_text("ascii"))
        except OSError:
            facts.append("")  # not Linux
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def owner(place: str = "") -> str:
    """This process, so that no later one with its number is taken for it."""
    return f"{place or here()}:{os.getpid()}:{_birth(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether a process has certainly ended: it ran on this machine, and is there no longer.

    >>> import os, subprocess
    >>> child = subprocess.Popen(["sleep", "60"])
    >>> before = f"{here()}:{child.pid}:{_birth(child.pid)}"
    >>> gone = is_gone(before); child.kill(); _ = child.wait()
    >>> gone, is_gone(before), is_gone("another-machine:1:2")
    (False, True, False)
    """
    place, _, rest = owner.partition(":")
    number, _, birth = rest.partition(":")
    if place != here() or not number.isdigit() or os.name == "nt":
        return False
    return _birth(int(number)) != birth


def _birth(pid: int) -> str:
    """When a process began, in ticks since boot; empty where it has ended, `?` where the system does not tell."""
    if Path("/proc/self/stat").exists():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]  # a zombie has ended, and only waits for its parent
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "?"


@dataclass
class Lease:
    """How a worker shows that it is alive, and when it takes another for dead.

    While it trains, a worker writes a new number into its trial every `heartbeat_seconds`. A process of this machine
    that has ended is found at once; of another, one whose number has not changed for `grace_seconds` on the clock of
    whoever looks, so that no two clocks need to agree. `place` is what tells machines apart.
    """

    place: str = field(default_factory=here)
    heartbeat_seconds: float = 10.0
    grace_seconds: float = 90.0
    _seen: dict[int, tuple[int, float]] = field(default_factory=dict, repr=False)

    @property
    def owner(self) -> str:
        """What the running trials of this process say of it."""
        return owner(self.place)

    def has_ended(self, trial_id: int, owner: str, beat: int) -> bool:
        """Whether the worker of a running trial is to be taken for dead."""
        if is_gone(owner):
            return True
        before, since = self._seen.get(trial_id, (None, 0.0))
        if before != beat:
            self._seen[trial_id] = (beat, time.monotonic())
            return False
        return time.monotonic() - since > self.grace_seconds

    @contextmanager
    def beating(self, beat: Callable[[int], None]) -> Iterator[threading.Event]:
        """Call `beat` with 1, 2, … within the block; sets the event that it gives when one fails: it is lost."""
        stop, lost = threading.Event(), threading.Event()

        def go_on() -> None:
            number = 1
            while not stop.wait(self.heartbeat_seconds):
                try:
                    beat(number)
                except Exception:  # the storage refuses: finished by another; or it cannot be reached any more
                    lost.set()
                    return
                number += 1

        thread = threading.Thread(target=go_on, daemon=True)
        thread.start()
        try:
            yield lost
        finally:
            stop.set()
            thread.join()
