"""A stranger's model in a process of its own: built, called and asked for its graphs there, never here.

What comes back is data, and is read as a stranger's file is. What the model computes is judged by its graph; the model
itself is asked again, for images in an order and in batches that it cannot know, and must answer as its graph does.
"""

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
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from tinydigits import models, sandbox
from tinydigits.checks import Subject
from tinydigits.data.download import cache_folder
from tinydigits.errors import EndsProcess, TinydigitsError, printable
from tinydigits.messages import Message, receive, send
from tinydigits.trace import ExportedModel, register
from tinydigits.verification.graphs import read_graphs

__all__ = ["Worker"]

_SECONDS = 300.0
"""For one question, building included."""
_GRACE_SECONDS = 2.0
_MOST_PRINTED, _MOST_TOLD = 500, 1_000
_NO_MESSAGE = "no message of ours"
_SHUT_IN = (
    "a model's code may read its own Python files and write nothing that stays: give weights by --weights, and put "
    'what loads data or trains under `if __name__ == "__main__":`'
)
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Worker:
    """The process of one model; it is started at once, and ends with this object.

    `spec` and `options` are those of `models.build`, `state` the weights, read from what `weights` names. Whatever is
    asked raises EndsProcess where the process ends or does not answer, and what the model's code raised.
    """

    def __init__(
        self,
        spec: str,
        options: Mapping[str, Any],
        state: Mapping[str, Tensor] | None = None,
        *,
        weights: str = "",
        threads: int | None = None,
    ) -> None:
        self.where = f"model {spec}"
        place, _, class_name = spec.rpartition(":")
        self.spec = f"{Path(place).absolute()}:{class_name}" if place.endswith(".py") else spec
        self.options, self.weights = dict(options), weights
        self.state = None if state is None else save({name: t.contiguous().clone() for name, t in state.items()})
        self._threads, self._is_built = threads, False
        self._refused: tuple[str, ...] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="tinydigits-", ignore_cleanup_errors=True)
        self._printed = Path(self._folder.name, "printed")
        self._process = self._start()
        weakref.finalize(self, _end, self._process, self._folder)

    def _start(self) -> subprocess.Popen[bytes]:
        own, foreign = Path(self._folder.name, "own"), Path(self._folder.name, "foreign")
        own.mkdir()
        foreign.write_text("not to be read", encoding="ascii")
        sources = [str(path) for path in models.source_files(self.spec)]
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
            "readable": readable + sources, "listable": listable + sorted({str(Path(path).parent) for path in sources}),
            "own": str(own), "foreign": str(foreign), "threads": self._threads,
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

    def judged(self, subject: Subject) -> Subject:
        """The subject whose model is the graph of this one; where it has none, the model itself, asked from here."""
        self.build()
        asked: dict[str, Any] = {"input_shape": list(subject.input_shape), "any_batch": True}
        try:
            try:
                model, reasons = self._graphs(asked)
            except TinydigitsError:  # some conditions on the size of a batch are written as code, which is not read
                asked["any_batch"] = False
                model, reasons = self._graphs(asked)
        except EndsProcess:
            raise
        except TinydigitsError as error:
            reason = f"it has no graph to read: {error.problem or error}"
            lacks = dict.fromkeys(("train", "structure", "state", "devices"), reason)
            return replace(subject, model=self._remote(), lacks=lacks, spec=None)
        lacks = {"gradients": reasons["gradients"]} if "gradients" in reasons else {}
        if not model.has_train_mode:
            lacks["train"] = f"it has no graph of train mode: {reasons.get('train')}"

        def rebuild() -> nn.Module:
            return read_graphs(self._ask("rebuilt", "built anew", **asked)[1].get("eval", b""))

        own: dict[str, Any] = {"rebuild": rebuild, "own_answers": self.answers}
        return replace(subject, model=model, lacks=lacks, spec=None, **own)

    def _graphs(self, asked: Mapping[str, Any]) -> tuple[ExportedModel, dict[str, str]]:
        """Its graphs as one model, and why there are not more of them."""
        fields, parts = self._ask("graphs", "called", **asked)
        told = fields.get("reasons")
        reasons = {mode: _short(reason) for mode, reason in told.items()} if isinstance(told, dict) else {}
        if "eval" not in parts:
            raise TinydigitsError("its graph", reasons.get("eval", "there is none"))
        try:
            return read_graphs(parts["eval"], parts.get("train", b"")), reasons
        except TinydigitsError as error:
            if "train" not in parts or asked["any_batch"]:
                raise
            return read_graphs(parts["eval"]), {"train": error.problem or str(error)}

    def _remote(self) -> _Remote:
        _, parts = self._ask("parameters", "asked for its parameters")
        try:
            return _Remote(self, load(parts["parameters"]))
        except (KeyError, SafetensorError, ValueError) as error:
            raise self._ended("asked for its parameters", _NO_MESSAGE) from error

    def answers(self, images: Tensor, seed: int = 0) -> Tensor:
        """What the model itself answers in eval mode, on the CPU."""
        _, parts = self._ask("answers", "called", {"images": save({"images": images.cpu().contiguous()})}, seed=seed)
        try:
            answers = load(parts["answers"])["answers"]
        except (KeyError, SafetensorError, ValueError) as error:
            raise self._ended("called", "an answer that is none") from error
        # Half precision, whole numbers and truth values have no arithmetic of their own in what compares them.
        return answers if answers.dtype in (torch.float32, torch.float64) else answers.float()

    def build(self) -> None:
        """Build it, if that was not done yet."""
        if not self._is_built:
            fields = {"spec": self.spec, "options": self.options, "weights": self.weights}
            self._ask("build", "built", {} if self.state is None else {"state": self.state}, **fields)
            self._is_built = True

    def _ask(self, what: str, when: str, parts: Mapping[str, bytes] | None = None, **fields: Any) -> Message:
        if what != "build":
            self.build()
        _ = self.refused  # the first message
        token = secrets.token_hex(16)  # what was written ahead of the question does not answer it
        request = {"do": what, "where": self.where, "when": when, "token": token} | fields
        reply, found = self._exchange(when, request, parts)
        if reply.get("token") != token:
            raise self._ended(when, _NO_MESSAGE)
        refusal, raised = reply.get("error"), reply.get("raised")
        if isinstance(refusal, dict):
            kind = EndsProcess if refusal.get("ends") else TinydigitsError
            text = {name: _short(refusal.get(name)) for name in ("where", "problem", "got", "expected", "hint")}
            hint = _SHUT_IN if "Permission denied" in text["problem"] else text["hint"]
            got, expected = text["got"] or None, text["expected"] or None
            raise kind(text["where"], text["problem"], got=got, expected=expected, hint=hint)
        if isinstance(raised, dict):
            name, line = _short(raised.get("name")), _short(raised.get("line"))
            if what != "answers":
                hint = _SHUT_IN if "Permission denied" in line else ""
                raise TinydigitsError(self.where, f"raises {name} when it is {when}: {line}", hint=hint)
            raise type(name if name.isidentifier() else "Exception", (RuntimeError,), {})(line)
        return reply, found

    def _exchange(self, when: str, request: Mapping[str, Any] | None, parts: Mapping[str, bytes] | None) -> Message:
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
        while thread.is_alive() and time.monotonic() < until:
            has_ended = self._process.poll() is not None
            thread.join(_GRACE_SECONDS if has_ended else 0.2)
            if has_ended:
                break
        if not found and time.monotonic() >= until:
            raise self._ended(when, f"no answer within {_SECONDS:g} s")
        message = found[0] if found else None
        if message is None or isinstance(message, OSError):
            raise self._ended(when)
        if isinstance(message, BaseException):
            raise self._ended(when, _NO_MESSAGE) from message
        return message

    def _ended(self, when: str, what: str = "") -> EndsProcess:
        _kill(self._process)
        code = self._process.wait()
        names = {number.value: f"signal {number.name}" for number in signal.Signals}
        what = what or (names.get(-code, f"signal {-code}") if code < 0 else f"exit code {code}")
        return EndsProcess(self.where, f"ends the process when it is {when} ({what})")


class _Remote(nn.Module):
    """A model that has no graph: asked in its worker. It holds the parameters that the model lists."""

    def __init__(self, worker: Worker, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.worker = worker
        for name, tensor in parameters.items():
            register(self, name, nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))

    def forward(self, images: Tensor) -> Tensor:
        return self.worker.answers(images).to(images.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Remote:
        held = {name: parameter.detach().clone() for name, parameter in self.named_parameters()}
        return _Remote(self.worker, held).train(self.training)


def _short(told: object) -> str:
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
