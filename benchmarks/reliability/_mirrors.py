"""A small set of original files, and local mirrors of it that behave and misbehave like real ones."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from tinydigits.data import idx
from tinydigits.data.originals import Original, OriginalFiles
from tinydigits.data.source import SourceInfo

__all__ = [
    "BAD_MIRRORS",
    "LIMITS",
    "Behaviour",
    "Mirror",
    "Mirrors",
    "SmallSet",
    "redirects_to",
    "send",
    "serving",
    "small_set",
]


@dataclass(frozen=True)
class SmallSet:
    """A source with 6 training and 3 test images, and its published files by name."""

    source: OriginalFiles
    contents: dict[str, bytes]
    arrays: dict[str, np.ndarray]


def small_set(name: str, seed: int, *, is_plain_known: bool = True) -> SmallSet:
    """Random images; with `is_plain_known` the hashes of the unpacked files are known too."""
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


@dataclass
class Mirror:
    """A running local mirror."""

    url: str
    requested: list[str] = field(default_factory=list)


Behaviour = Callable[[BaseHTTPRequestHandler, bytes], None]
Mirrors = Callable[..., Mirror]


@contextlib.contextmanager
def serving(small: SmallSet) -> Iterator[Mirrors]:
    """Gives what starts a mirror of a set: `mirror()` behaves, `mirror(behaviour)` does what it is told."""
    servers = []

    def start(behaviour: Behaviour = send) -> Mirror:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.requested.append(self.path)
                content = small.contents.get(self.path.removeprefix(f"/{small.source.info.name}/"))
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

    try:
        yield start
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def send(handler: BaseHTTPRequestHandler, content: bytes, *, num_promised: int | None = None) -> None:
    """What a mirror should do."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if num_promised is None else num_promised))
    handler.end_headers()
    handler.wfile.write(content)


def redirects_to(place: str) -> Behaviour:
    """A mirror that names another place for each file; `{path}` in it becomes the file's path."""

    def redirect(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", place.format(path=handler.path))
        handler.end_headers()

    return redirect


def _garbage(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    send(handler, b"<html>" + content[6:])


def _endless(handler: BaseHTTPRequestHandler, _content: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(bytes(1 << 16))


def _midway(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    send(handler, content[: len(content) // 2], num_promised=len(content))


def _short(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    send(handler, content[: len(content) // 2])


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


BAD_MIRRORS: dict[str, tuple[Behaviour, str]] = {
    "sends garbage": (_garbage, "wrong content"),
    "sends without end": (_endless, "sent more than"),
    "stops midway": (_midway, "stopped after|connection lost"),
    "sends half of it": (_short, "stopped after"),
    "does not have it": (_missing, "HTTP 404"),
    "is broken": (_broken, "HTTP 503"),
    "is silent": (_silent, "silent for 0.3 s"),
    "falls silent": (_falls_silent, "silent for 0.3 s"),
    "drips": (_drips, r"too slow, \d{1,2} bytes"),
    "redirects in circles": (redirects_to("{path}"), "too many redirects"),
    "redirects to a file": (redirects_to("file:///etc/hostname"), "InvalidSchema"),
}
"""What each does, and a pattern of the reason that the user should read."""
LIMITS = {"STALL_SECONDS": 0.3, "GRACE_SECONDS": 0.3}
"""What `tinydigits.data.download` waits is cut short to these, so that the slow ones are seen quickly."""
