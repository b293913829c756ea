"""Optuna's journal in a file, for workers that may be killed at any moment, on one machine or a shared file system."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from tinydigits.sweep.lease import is_gone, owner

__all__ = ["open_journal"]

_GRACE_SECONDS = 30.0


class _Lock(JournalFileOpenLock):
    """A lock file made with O_EXCL, which is exclusive on NFS from version 3 on, that says who holds it.

    Optuna's own lock waits 30 s when its holder was killed. This one sees at once that a process of this machine has
    ended. It also cuts off the half line that a full disk or a power cut may have left, which would make the whole
    journal unreadable as soon as another line followed it.
    """

    def __init__(self, path: Path) -> None:
        self._journal, self._path = path, path.with_name(f"{path.name}.lock")
        self._token = ""

    def acquire(self) -> bool:
        pause, seen, since = 0.001, None, time.monotonic()
        while True:
            self._token = f"{owner()} {uuid.uuid4()}"
            try:
                number = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                holder = self._holder(self._path)
                if holder != seen:
                    seen, since = holder, time.monotonic()
                elif is_gone(holder.partition(" ")[0]) or time.monotonic() - since > _GRACE_SECONDS:
                    self._break(holder)
                time.sleep(pause)
                pause = min(2 * pause, 0.05)
                continue
            with os.fdopen(number, "w", encoding="ascii") as file:
                file.write(self._token)
            self._cut_half_line()
            return True

    def release(self) -> None:
        if self._holder(self._path) == self._token:  # else it was broken, because this process stood still for long
            self._path.unlink(missing_ok=True)

    @staticmethod
    def _holder(path: Path) -> str:
        try:
            return path.read_text("ascii")
        except FileNotFoundError:
            return ""

    def _break(self, holder: str) -> None:
        """Take the lock from a holder that is gone; of several that try, one does it."""
        aside = self._path.with_name(f"{self._path.name}.{uuid.uuid4()}")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return
        if self._holder(aside) != holder:  # another was faster, and this is the next one's lock: give it back
            with contextlib.suppress(FileExistsError):
                os.link(aside, self._path)
        aside.unlink()

    def _cut_half_line(self) -> None:
        with self._journal.open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if not size:
                return
            file.seek(size - 1)
            if file.read(1) == b"\n":
                return
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def open_journal(path: Path) -> JournalStorage:
    """The storage in a journal file, which is made if needed."""
    path = path.resolve()
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_Lock(path)))
