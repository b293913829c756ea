"""A small source of original files, and local mirrors that behave and misbehave like real ones."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tinydigits.data import download, idx
from tinydigits.data.originals import Original, OriginalFiles
from tinydigits.data.source import SourceInfo


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test here sees the user's data or cache, or reaches beyond this machine."""
    monkeypatch.delenv("TINYDIGITS_DATA", raising=False)
    monkeypatch.setenv("TINYDIGITS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TINYDIGITS_MIRRORS", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "*")


@dataclass(frozen=True)
class SmallSet:
    """A source with 6 training and 3 test images, and its published files by name."""

    source: OriginalFiles
    contents: dict[str, bytes]
    arrays: dict[str, np.ndarray]


def _small_set(name: str, seed: int, *, is_plain_known: bool = True) -> SmallSet:
    random = np.random.default_rng(seed)
    arrays, contents, originals = {}, {}, []
    for role in idx.ROLES:
        num = 6 if role.startswith("train") else 3
        shape = (num, 28, 28) if role.endswith("images") else (num,)
        array = random.integers(0, 256 if len(shape) == 3 else 10, shape).astype(np.uint8)
        plain = idx.encode(array)
        packed = gzip.compress(plain, mtime=0)
        arrays[role], contents[idx.file_names(role)[0]] = array, packed
        hashes = [hashlib.sha256(content).hexdigest() for content in (packed, plain)]
        originals.append(Original(role, len(packed), hashes[0], hashes[1] if is_plain_known else None))
    classes = tuple("0123456789")
    info = SourceInfo(name, name, num_train=6, num_test=3, classes=classes, licence="CC0", homepage="")
    return SmallSet(OriginalFiles(info, tuple(originals)), contents, arrays)


@pytest.fixture
def small() -> SmallSet:
    return _small_set("small", seed=1)


@pytest.fixture
def other() -> SmallSet:
    """Another set with the same file names, of whose plain files no hash is known."""
    return _small_set("other", seed=2, is_plain_known=False)


@dataclass
class Mirror:
    """A running local mirror."""

    url: str
    requested: list[str] = field(default_factory=list)


Behaviour = Callable[[BaseHTTPRequestHandler, bytes], None]


def _send(handler: BaseHTTPRequestHandler, content: bytes, *, num_promised: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if num_promised is None else num_promised))
    handler.end_headers()
    handler.wfile.write(content)


@pytest.fixture
def mirror(small: SmallSet) -> Iterator[Callable[..., Mirror]]:
    """Start a mirror of the small set: `mirror()` behaves, `mirror(behaviour)` does what it is told."""
    servers = []

    def start(behaviour: Behaviour = _send) -> Mirror:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.requested.append(self.path)
                content = small.contents.get(self.path.removeprefix("/small/"))
                if content is None:
                    self.send_error(404)
                    return
                with contextlib.suppress(OSError):  # the client has had enough, as it should
                    behaviour(self, content)

            def log_message(self, *_args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        mirror = Mirror(f"http://127.0.0.1:{server.server_address[1]}")
        return mirror

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _garbage(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    _send(handler, b"<html>" + content[6:])


def _endless(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(bytes(1 << 16))


def _midway(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    _send(handler, content[: len(content) // 2], num_promised=len(content))


def _short(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    _send(handler, content[: len(content) // 2])


def _missing(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    handler.send_error(404)


def _broken(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    handler.send_error(503)


def _silent(_handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    time.sleep(1.5)


def _falls_silent(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    _midway(handler, content)
    handler.wfile.flush()
    time.sleep(1.5)


def _drips(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    for i in range(100):  # then it ends, so that a client which waits fails its test and does not hang
        handler.wfile.write(content[i : i + 1])
        time.sleep(0.02)


def _circles(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.end_headers()


def _leads_to_a_file(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    handler.send_response(302)
    handler.send_header("Location", "file:///etc/hostname")
    handler.end_headers()


BAD_MIRRORS = {
    "garbage": (_garbage, "wrong content"),
    "endless": (_endless, "sent more than"),
    "midway": (_midway, "stopped after|connection lost"),
    "short": (_short, "stopped after"),
    "missing": (_missing, "HTTP 404"),
    "broken": (_broken, "HTTP 503"),
    "silent": (_silent, "silent for 0.3 s"),
    "falls silent": (_falls_silent, "silent for 0.3 s"),
    "drips": (_drips, r"too slow, \d{1,2} bytes"),
    "circles": (_circles, "too many redirects"),
    "leads to a file": (_leads_to_a_file, "InvalidSchema"),
}


@pytest.fixture(params=BAD_MIRRORS)
def bad_mirror(
    request: pytest.FixtureRequest, mirror: Callable[..., Mirror], monkeypatch: pytest.MonkeyPatch
) -> tuple[Mirror, str]:
    """Each kind of bad mirror, and a pattern of the reason that the user should read."""
    monkeypatch.setattr(download, "STALL_SECONDS", 0.3)
    monkeypatch.setattr(download, "GRACE_SECONDS", 0.3)
    behaviour, reason = BAD_MIRRORS[request.param]
    return mirror(behaviour), reason
