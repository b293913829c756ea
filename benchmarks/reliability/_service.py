"""The service of `tinydigits serve` in a process of its own, and ways to talk to it that no client library has."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Service", "read_answer", "serving", "status_of"]

_START = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from tinydigits.prediction import models_at_hand
from tinydigits.serve import Limits, run_server
run_server(models_at_hand("nowhere"), sys.argv[1], 0, Limits({limits}), allow_hosts=["digits.example"], {more})
"""


@dataclass(frozen=True)
class Service:
    """A running service."""

    process: subprocess.Popen[str]
    port: int

    @property
    def address(self) -> str:
        """What a client library takes."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        """An open connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def say(self, sent: bytes) -> bytes:
        """The first answer, or what came of it before the service closed the connection."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):  # refused before all was sent; the answer may be there
                connection.sendall(sent)
            return read_answer(connection)

    def status(self, sent: bytes) -> int:
        """The status of the first answer; 0 where the connection was closed without one."""
        return status_of(self.say(sent))


def read_answer(connection: socket.socket) -> bytes:
    """One whole answer, head and body, which may come in pieces, or what came before the connection was closed."""
    given = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            given += part
            head, mark, body = given.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head) if mark else None
            if length and len(body) >= int(length[1]):
                break
    return given


def status_of(answer: bytes) -> int:
    """The status of an answer, 0 where there is none."""
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/") else 0


@contextlib.contextmanager
def serving(limits: str = "", more: str = "", host: str = "127.0.0.1") -> Iterator[Service]:
    """The service, which starts with few open files allowed; where it stops or writes an error, that is one here."""
    process = subprocess.Popen(
        [sys.executable, "-c", _START.format(limits=limits, more=more), host], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r":(\d+) ", process.stdout.readline())
        assert found, process.communicate(timeout=5)
        service = Service(process, int(found[1]))
        for _ in range(600):
            try:
                service.connect().close()
                break
            except OSError:
                time.sleep(0.1)
        yield service
        assert process.poll() is None, "it stopped"
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert not errors, errors[-2_000:]
