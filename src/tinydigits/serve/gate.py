"""What stands before the API: the host's name, how often an address may ask, headers, and the counters."""

from __future__ import annotations

import ipaddress
import json
import math
import time
from collections.abc import Collection, Sequence
from typing import Any

from tinydigits.serve.metrics import Metrics

__all__ = ["Gate", "Rate"]

# A page brings a policy of its own, which allows its own style and script by their hashes.
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_MOST_ADDRESSES = 10_000


class Rate:
    """A bucket of tokens for each address: one is taken for a request, `a_second` come back.

    >>> rate = Rate(2)
    >>> [rate.wait_seconds("192.0.2.1", now=0.0) for _ in range(3)]
    [0.0, 0.0, 0.5]
    >>> rate.wait_seconds("192.0.2.1", now=0.5), rate.wait_seconds("192.0.2.2", now=0.5)
    (0.0, 0.0)

    A bucket holds what comes in a second, at least one. An IPv6 network of /64 has one bucket: it is one customer's.
    """

    def __init__(self, a_second: float) -> None:
        self.a_second, self.most = a_second, max(1.0, a_second)
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait_seconds(self, address: str, now: float | None = None) -> float:
        """Take a token and give 0, or say how many seconds one is away."""
        now = time.monotonic() if now is None else now
        key = _network_of(address)
        left, then = self._buckets.pop(key, (self.most, now))
        left = min(self.most, left + (now - then) * self.a_second)
        if len(self._buckets) >= _MOST_ADDRESSES:
            del self._buckets[next(iter(self._buckets))]  # the one not seen for longest
        self._buckets[key] = (left - (left >= 1), now)
        return 0.0 if left >= 1 else (1 - left) / self.a_second


def _network_of(address: str) -> str:
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address.partition("%")[0])
    return str(parsed.ipv4_mapped or ipaddress.ip_network((int(parsed), 64), strict=False))


class Gate:
    """An ASGI application around another. Plain ASGI: the framework's own middleware costs more than an answer."""

    def __init__(
        self, app: Any, metrics: Metrics, paths: Collection[str], rate: Rate | None, hosts: Sequence[str] | None
    ) -> None:
        self.app, self.metrics, self.paths, self.rate = app, metrics, paths, rate
        self.hosts = None if hosts is None else {name.lower() for name in hosts}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = time.perf_counter(), 0
        path = scope["path"] if scope["path"] in self.paths else "other"

        async def send_with_headers(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = list(message.get("headers", []))
                own = [] if any(name == _POLICY[0] for name, _ in headers) else [_POLICY]
                message["headers"] = [*headers, *_HEADERS, *own]
            await send(message)

        self.metrics.under_way.inc()
        try:
            if not self._is_for_us(scope):
                await _refuse(send_with_headers, 421, "this service answers to its own names only")
            elif wait := self._wait_seconds(scope):
                reason = f"more than {self.rate.a_second:g} requests a second" if self.rate else ""
                await _refuse(send_with_headers, 429, reason, retry_after=math.ceil(wait))
            else:
                await self.app(scope, receive, send_with_headers)
        except Exception:
            if not status:
                await _refuse(send_with_headers, 500, "an error of the service")
            raise  # to the log
        finally:
            self.metrics.under_way.dec()
            self.metrics.count(path, status or 500, time.perf_counter() - begin)

    def _wait_seconds(self, scope: Any) -> float:
        return self.rate.wait_seconds(scope["client"][0]) if self.rate and scope.get("client") else 0.0

    def _is_for_us(self, scope: Any) -> bool:
        """Whether exactly one host is named, by a name of ours or by an address.

        A page elsewhere that has its own name point to this machine is asked by that name. An address it cannot take.
        """
        if self.hosts is None:
            return True
        names = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        if len(names) != 1:
            return False
        [name] = names
        if name.startswith("["):
            bare, end, _ = name[1:].partition("]")
            return bool(end) and _is_address(bare)
        bare = name.partition(":")[0]
        return bare.lower() in self.hosts or _is_address(bare)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _refuse(send: Any, status: int, reason: str, retry_after: int | None = None) -> None:
    headers = [(b"content-type", b"application/json")]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode("ascii")))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": reason}).encode()})
