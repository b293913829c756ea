"""A connection with an end: clients that send or read slowly, or too much, are told so and closed.

uvicorn bounds neither the time nor the length of a request's head, nor how long an answer waits to be read. So its
protocol is asked here, once a second, where each connection stands.
"""

from __future__ import annotations

import math
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tinydigits.serve.limits import Limits

__all__ = ["Server"]

_KEEP_ALIVE_SECONDS = 30
_GRACE_SECONDS = 10
_FRAMING_BYTES = 512_000  # what chunks and trailers may add to a body: chunks of 1 kB add 8 bytes each


class _Connection(HttpToolsProtocol):
    """Where a connection stands: `silent` before a request, in its `head`, in its `body`, or `whole`."""

    limits = Limits()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._stand("silent")
        self._unread_since: float | None = None
        self._raw_bytes = self._body_bytes = 0
        self._unanswered: list[RequestResponseCycle] = []
        if len(self.connections) > self.limits.connections:
            waiting = [one for one in self.connections if isinstance(one, _Connection) and one.is_waiting]
            min(waiting, key=lambda one: one._since).transport.abort()  # this one waits too, so there is one

    @property
    def is_waiting(self) -> bool:
        """Whether it is open, and no request of it is being read or answered."""
        is_answered = self.cycle is None or self.cycle.response_complete
        return self._stands in ("silent", "head") and is_answered and not self.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # What came with the end of a head is no more than the transport reads at once.
        if self._stands in ("head", "body"):
            self._raw_bytes += len(data)
            limit = self.limits.head_bytes if self._stands == "head" else self._body_bytes + _FRAMING_BYTES
            if self._raw_bytes > limit:
                self._refuse(431 if self._stands == "head" else 400)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._stand("head")
        self._raw_bytes = self._body_bytes = 0

    def on_headers_complete(self) -> None:
        self._stand("body")
        super().on_headers_complete()
        begun = dict.fromkeys([*self._unanswered, self.cycle])  # more than one where a client does not wait
        self._unanswered = [cycle for cycle in begun if not cycle.response_complete]

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stand("whole")
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._stands == "whole":
            self._stand("silent")
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every request that its client has gone; uvicorn tells the last, and others may be before it."""
        super().connection_lost(exc)
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()

    def pause_writing(self) -> None:
        self._unread_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    def check(self) -> None:
        """Close the connection where its time is up."""
        now, limits = time.monotonic(), self.limits
        if self.transport.is_closing() and self._unread_since is None:
            self._unread_since = now  # closed when its client has read what was sent, or will not
        if self._unread_since is not None:
            if now - self._unread_since > limits.answer_seconds:
                self.transport.abort()
            return
        seconds = {
            "silent": _KEEP_ALIVE_SECONDS if self.cycle else limits.head_seconds,
            "head": limits.head_seconds,
            "body": limits.body_seconds + self._body_bytes / limits.body_bytes_a_second,
            "whole": math.inf,  # the client has done its part
        }
        if now - self._since <= seconds[self._stands]:
            return
        if self._stands != "silent":
            self._refuse(408)
        elif self.is_waiting:
            self.transport.close()

    def _stand(self, where: str) -> None:
        self._stands, self._since = where, time.monotonic()

    def _refuse(self, status: int) -> None:
        if self.transport.is_closing():
            return
        if self._stands == "head" or not self.cycle.response_started:
            line = {400: "400 Bad Request", 408: "408 Request Timeout", 431: "431 Request Header Fields Too Large"}
            self.transport.write(
                f"HTTP/1.1 {line[status]}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode("ascii")
            )
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server for one application, over connections that end."""

    def __init__(self, app: Any, limits: Limits) -> None:
        protocol = type("Connection", (_Connection,), {"limits": limits})
        super().__init__(
            uvicorn.Config(
                app, http=protocol, ws="none", log_level="error", access_log=False, server_header=False,
                proxy_headers=False, # else whoever is on this machine could give himself another address
                timeout_keep_alive=_KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )  # fmt: skip

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, says uvicorn; every tenth time the connections are asked."""
        if counter % 10 == 0:
            for connection in list(self.server_state.connections):
                connection.check()  # type: ignore[union-attr]
        return await super().on_tick(counter)
