"""Requests that no well-meaning client sends: raw HTTP, forms, paths and files."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

from PIL import Image

__all__ = ["FORMS", "GET", "MALFORMED", "OTHER_FILES", "PATHS", "damaged", "dots", "post", "small_bomb"]


def post(body: bytes, *headers: str) -> bytes:
    """A question to the API as HTTP."""
    lines = ["POST /predict HTTP/1.1", "host: localhost", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


GET = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"
MALFORMED = {
    "nothing but noise": bytes(range(256)) * 20,
    "TLS": bytes.fromhex("16030102000100") + b"\x01" * 400,
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "another version": b"GET /health HTTP/9.9\r\nhost: localhost\r\n\r\n",
    "no such method": b"STEAL /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a space in the path": b"GET /he alth HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "bytes over 127 in the path": b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a null in the path": b"GET /\x00 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "a null in a header": GET + b"x: a\x00b\r\n\r\n",
    "a header without a name": GET + b": x\r\n\r\n",
    "a space before the colon": GET + b"x : y\r\n\r\n",
    "a folded header": GET + b"x: y\r\n  z\r\n\r\n",
    "two lengths": GET + b"content-length: 3\r\ncontent-length: 5\r\n\r\nabcde",
    "a length below zero": GET + b"content-length: -1\r\n\r\n",
    "a length that is no number": GET + b"content-length: many\r\n\r\n",
    "a length of 30 digits": GET + b"content-length: " + b"9" * 30 + b"\r\n\r\n",
    "a length and chunks": GET + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks of another kind": GET + b"transfer-encoding: xchunked\r\n\r\n",
    "a chunk's size that is no number": b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n"
    b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "a chunk's size over 64 bits": b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/png\r\n"
    b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "a path without a slash": b"GET health HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "no more than a line's end": b"\r\n\r\n\r\n",
    "a proxy's question": b"CONNECT localhost:22 HTTP/1.1\r\nhost: localhost\r\n\r\n",
}


PART = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
FORMS = {
    "no boundary": ("multipart/form-data", b"x", 400),
    "a boundary that never comes": ("multipart/form-data; boundary=x", b"abc" * 100, 400),
    "cut in a header": ("multipart/form-data; boundary=x", b"--x\r\ncontent-dispo", 422),
    "cut in a file": ("multipart/form-data; boundary=x", PART + b"abc", 422),
    "no name": ("multipart/form-data; boundary=x", b"--x\r\ncontent-disposition: form-data\r\n\r\na\r\n--x--", 400),
    "no disposition": ("multipart/form-data; boundary=x", b"--x\r\n\r\na\r\n--x--", 400),
    "a boundary of 10 kB": (f"multipart/form-data; boundary={'x' * 10_000}", b"abc", 400),
    "a charset that is no text": ("multipart/form-data; charset=base64; boundary=x", PART + b"abc\r\n--x--", 422),
    "2,000 files": ("multipart/form-data; boundary=x", (PART + b"\r\n") * 2_000 + b"--x--", 400),
    "2,000 fields": (
        "multipart/form-data; boundary=x",
        b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n\r\n' * 2_000 + b"--x--",
        400,
    ),
    "a field of the file's name": (
        "multipart/form-data; boundary=x",
        b'--x\r\ncontent-disposition: form-data; name="file"\r\n\r\n/etc/passwd\r\n--x--\r\n',
        422,
    ),
    "a file of the machine's name": (
        "multipart/form-data; boundary=x",
        PART.replace(b"a.png", b"/etc/passwd") + b"file:///etc/passwd\r\n--x--\r\n",
        422,
    ),
}


PATHS = [
    "/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/networks/../../../../etc/passwd", "/networks/..%2f..%2f..%2fetc%2fpasswd", "/networks/%2e%2e%2fetc%2fpasswd",
    "/networks//etc/passwd", "/networks/%2fetc%2fpasswd", "/networks/gap-cnn-tuned%00", "/networks/%00",
    "/networks/..%5c..%5cetc%5cpasswd", "/networks/gap-cnn-tuned/../../x", "//etc/passwd", "/%252e%252e/etc/passwd",
    "/networks/%c0%ae%c0%ae%c0%afetc%c0%afpasswd", "/networks/file:%2f%2f%2fetc%2fpasswd", "/static/draw.js",
    "/page/draw.html", "/openapi.json/../../../etc/passwd", "file:///etc/passwd", "http://localhost/../etc/passwd",
    "/predict?model=../../../etc/passwd", "/networks/..;/etc/passwd", "/docs/..%2f..%2fetc%2fpasswd",
]  # fmt: skip


def _picture(format: str) -> bytes:
    return _bytes(Image.new("RGB", (40, 40), "white"), format)


OTHER_FILES: dict[str, Callable[[], bytes]] = {
    **{name: lambda name=name: _picture(name) for name in ("EPS", "PDF", "TGA", "PCX", "ICO", "JPEG2000", "SGI")},
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "SVG with an entity": lambda: b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
    "MVG": lambda: b"push graphic-context\nimage over 0,0 0,0 'ephemeral:/etc/passwd'\n",
    "M3U": lambda: b"#EXTM3U\n#EXTINF:1,\nconcat:file:///etc/passwd\n",
    "a path": lambda: b"/etc/passwd",
    "an address": lambda: b"file:///etc/passwd",
}


def dots() -> bytes:
    """800×800 pixels with 1,600 strokes, each of which could be a digit: 2 kB."""
    image = Image.new("L", (800, 800))
    image.putdata([255 if x % 20 == 0 and y % 20 < 5 else 0 for y in range(800) for x in range(800)])
    return _bytes(image, "png")


def small_bomb() -> bytes:
    """25 million pixels in 3 kB."""
    return _bytes(Image.new("1", (5_000, 5_000)), "png")


def damaged(file: bytes, rng: random.Random) -> bytes:
    """A file with some of its bytes changed, or cut, or doubled."""
    content = bytearray(file)
    for _ in range(rng.choice((1, 3, 30))):
        place = rng.randrange(len(content))
        content[place] = rng.randrange(256)
    end = rng.choice((len(content), rng.randrange(1, len(content))))
    return bytes(content[:end]) * rng.choice((1, 1, 2))


def _bytes(image: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format)
    return file.getvalue()
