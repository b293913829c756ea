"""What stands before the API: the host's name, how many requests at once, headers, and the counters."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from typing import Any

from tinydigits.serve.metrics import Metrics

__all__ = ["Gate"]

# The page brings a stricter policy of its own in its HTML; both hold.
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'self' data: blob: 'unsafe-inline'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]


class Gate:
    """An ASGI application around another. Plain ASGI: the framework's own middleware costs more than an answer."""

    def __init__(
        self, app: Any, metrics: Metrics, paths: Collection[str], max_under_way: int, hosts: Sequence[str] | None
    ) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths
        self.max_under_way, self.hosts = max_under_way, hosts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 500
        path = scope["path"] if scope["path"] in self.paths else "other"

        async def send_with_headers(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        self.metrics.under_way += 1
        try:
            if not self._is_for_us(scope):
                await _refuse(send_with_headers, 421, "this service answers to its local names only")
            elif self.metrics.under_way > self.max_under_way:
                await _refuse(send_with_headers, 503, f"busy: {self.max_under_way} requests are under way; try again")
            else:
                await self.app(scope, receive, send_with_headers)
        finally:
            self.metrics.under_way -= 1
            self.metrics.count(path, status, time.perf_counter() - begin)

    def _is_for_us(self, scope: Any) -> bool:
        if self.hosts is None:
            return True
        name = next((value.decode("latin-1") for key, value in scope["headers"] if key == b"host"), "")
        bare = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        return bare.lower() in self.hosts


async def _refuse(send: Any, status: int, reason: str) -> None:
    headers = [(b"content-type", b"application/json")] + ([(b"retry-after", b"1")] if status == 503 else [])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": reason}).encode()})
