"""A process that may do little: shut in before it imports a stranger's code, asked by messages, ended from here."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tinydigits import models, sandbox
from tinydigits.data.download import cache_folder
from tinydigits.errors import EndsProcess, TinydigitsError, printable
from tinydigits.messages import Message, receive, send

__all__ = ["NO_MESSAGE", "Judge", "SandboxedProcess", "in_full", "short"]

NO_MESSAGE = "no message of ours"
_SECONDS = 300.0
"""For one question, building included."""
_GRACE_SECONDS = 2.0
_MOST_PRINTED, _MOST_TOLD = 500, 1_000
_SHUT_IN = (
    "a model's code may read its own Python files and write nothing that stays: give weights by --weights, and put "
    'what loads data or trains under `if __name__ == "__main__":`; a DataLoader has `num_workers=0`'
)
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Judge(Protocol):
    """What a training is given by the process that judges it."""

    def answer(self, fields: Mapping[str, Any], parts: Mapping[str, bytes]) -> Message:
        """The reply to what the training asks for."""

    def watch(self) -> None:
        """Called several times a second while it is busy; ends it by an error."""


class SandboxedProcess:
    """It is started at once, and ends with this object.

    It may read the code that the specs in `code` name, and the paths in `readable`; it has so many `seconds` of
    processor time, and torch's `threads`. Whatever is asked raises EndsProcess where it ends or does not answer, and
    what the code in it raised; messages begin with `where`.
    """

    def __init__(
        self,
        where: str,
        code: Sequence[str],
        *,
        threads: int | None = None,
        seconds: int = 3_600,
        readable: Sequence[str] = (),
    ) -> None:
        self.where, self._code, self._threads = where, code, threads
        self._seconds, self._readable = seconds, list(readable)
        self._refused: tuple[str, ...] | None = None
        self._ticks: dict[str, int] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="tinydigits-", ignore_cleanup_errors=True)
        self._printed = Path(self._folder.name, "printed")
        self._process = self._start()
        weakref.finalize(self, _end, self._process, self._folder)

    def _start(self) -> subprocess.Popen[bytes]:
        own, foreign = Path(self._folder.name, "own"), Path(self._folder.name, "foreign")
        own.mkdir()
        foreign.write_text("not to be read", encoding="ascii")
        sources = [str(path) for spec in self._code for path in models.source_files(spec)]
        folders = sorted({str(Path(path).parent) for path in sources})
        readable, listable = sandbox.readable_places(hidden=[cache_folder("mnist").parent, *_given_data()])
        kept = {name: os.environ[name] for name in (*_THREADS, "SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ}
        command = [sys.executable, "-P", "-B", "-u", str(Path(__file__).with_name("_worker_process.py"))]
        command.append(json.dumps([str(Path(place).absolute()) for place in sys.path]))
        environment = kept | {
            "HOME": str(own), "TMPDIR": str(own), "TORCHINDUCTOR_CACHE_DIR": str(own), "USER": "worker",
            "PATH": os.defpath, "PYTHONIOENCODING": "utf-8",
        }  # fmt: skip
        with self._printed.open("wb") as printed:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=printed, cwd=own, env=environment,
                start_new_session=True, bufsize=0,
            )  # fmt: skip
        assert process.stdin is not None
        send(process.stdin, {
            "readable": readable + sources + self._readable, "listable": listable + folders,
            "own": str(own), "foreign": str(foreign), "threads": self._threads, "seconds": self._seconds,
        })  # fmt: skip
        return process

    @property
    def refused(self) -> tuple[str, ...]:
        """What its sandbox was found to refuse; nothing where this system has none."""
        if self._refused is None:
            fields, _ = self._exchange("started", None, None)
            self._refused = tuple(str(what) for what in fields["refused"])
        return self._refused

    @property
    def printed(self) -> str:
        """The beginning of what its code printed, on one line."""
        with self._printed.open("rb") as file:
            text = file.read(4 * _MOST_PRINTED).decode("utf-8", errors="replace").strip()
        return printable(text[:_MOST_PRINTED])

    @property
    def processor_seconds(self) -> float | None:
        """Processor time of the process and of all that it started, which cannot leave its session; Linux tells it."""
        if sys.platform != "linux":
            return None
        now = 0  # with what its ended children took, as far as they were waited for
        for place in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has just ended
                facts = place.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                if int(facts[3]) == self._process.pid:
                    now += sum(map(int, facts[11:15]))
                    own = sum(map(int, facts[11:13]))
                    self._ticks[place.parts[-2]] = max(own, self._ticks.get(place.parts[-2], 0))
        return max(now, sum(self._ticks.values())) / os.sysconf("SC_CLK_TCK")

    def cut(self) -> None:
        """End a training, whose model is then had as it stands."""
        if hasattr(signal, "SIGUSR1"):
            self._process.send_signal(signal.SIGUSR1)

    def ended(self, when: str, what: str = "") -> EndsProcess:
        """End the process, and say why there is no answer."""
        _kill(self._process)
        code = self._process.wait()
        names = {number.value: f"signal {number.name}" for number in signal.Signals}
        what = what or (names.get(-code, f"signal {-code}") if code < 0 else f"exit code {code}")
        return EndsProcess(self.where, f"ends the process when it is {when} ({what})")

    def ask(
        self,
        what: str,
        when: str,
        parts: Mapping[str, bytes] | None = None,
        *,
        judge: Judge | None = None,
        **fields: Any,
    ) -> Message:
        """The reply to a request; a training asks the `judge` for images before it replies."""
        _ = self.refused  # the first message
        token = secrets.token_hex(16)  # what was written ahead of the question does not answer it
        message: Message = {"do": what, "where": self.where, "when": when, "token": token} | fields, dict(parts or {})
        while True:
            reply, found = self._exchange(when, *message, None if judge is None else judge.watch)
            if reply.get("token") != token:
                raise self.ended(when, NO_MESSAGE)
            if judge is None or not reply.get("asks"):
                break
            message = judge.answer(reply, found)
        refusal, raised = reply.get("error"), reply.get("raised")
        if isinstance(refusal, dict):
            kind = EndsProcess if refusal.get("ends") else TinydigitsError
            text = {name: short(refusal.get(name)) for name in ("where", "problem", "got", "expected", "hint")}
            hint = _SHUT_IN if "Permission denied" in text["problem"] else text["hint"]
            got, expected = text["got"] or None, text["expected"] or None
            raise kind(text["where"], text["problem"], got=got, expected=expected, hint=hint)
        if isinstance(raised, dict):
            name, line = short(raised.get("name")), short(raised.get("line"))
            if what != "answers":
                hint = _SHUT_IN if "Permission denied" in line else ""
                raise TinydigitsError(self.where, f"raises {name} when it is {when}: {line}", hint=hint)
            raise type(name if name.isidentifier() else "Exception", (RuntimeError,), {})(line)
        return reply, found

    def _exchange(
        self,
        when: str,
        request: Mapping[str, Any] | None,
        parts: Mapping[str, bytes] | None,
        watch: Callable[[], None] | None = None,
    ) -> Message:
        """Send a request, if any, and receive a message; by a thread that is given up with the process.

        Where the process has ended, a child of it may still hold the other end of either pipe.
        """
        found: list[Message | BaseException | None] = []

        def exchange() -> None:
            assert self._process.stdin is not None and self._process.stdout is not None
            try:
                if request is not None:
                    send(self._process.stdin, request, parts)
                found.append(receive(self._process.stdout))
            except BaseException as error:  # whatever a forged message makes of a reader
                found.append(error)

        thread = threading.Thread(target=exchange, daemon=True, name="tinydigits-worker")
        thread.start()
        until = time.monotonic() + _SECONDS
        while thread.is_alive() and (watch is not None or time.monotonic() < until):
            has_ended = self._process.poll() is not None
            thread.join(_GRACE_SECONDS if has_ended else 0.2)
            if has_ended:
                break
            if watch is not None and thread.is_alive():
                watch()
        if not found and self._process.poll() is None:
            raise self.ended(when, f"no answer within {_SECONDS:g} s")
        message = found[0] if found else None
        if message is None or isinstance(message, OSError):
            raise self.ended(when)
        if isinstance(message, BaseException):
            raise self.ended(when, NO_MESSAGE) from message
        return message


def in_full(spec: str) -> str:
    """The same code by its absolute path, for a process that works in another folder."""
    place, _, name = spec.rpartition(":")
    return f"{Path(place).absolute()}:{name}" if place.endswith(".py") else spec


def short(told: object) -> str:
    """Text out of the worker, on one line of a bounded length; what is no text is empty."""
    return told[:_MOST_TOLD] if isinstance(told, str) else ""


def _given_data() -> list[str]:
    folder = os.environ.get("TINYDIGITS_DATA")
    return [folder] if folder else []


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError, PermissionError):  # Windows; it has ended
        process.kill()


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    _kill(process)
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):  # of what was not sent any more
                stream.close()
    folder.cleanup()
