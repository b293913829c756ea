"""Messages between two processes: plain fields as JSON, and bytes beside them. Nothing is unpickled."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import IO, Any

__all__ = ["Message", "receive", "send"]

_MOST_BYTES, _MOST_HEAD_BYTES = 1_000_000_000, 2_000_000
Message = tuple[dict[str, Any], dict[str, bytes]]


def send(stream: IO[bytes], fields: Mapping[str, Any], parts: Mapping[str, bytes] | None = None) -> None:
    """Write one message.

    >>> import io
    >>> stream = io.BytesIO()
    >>> send(stream, {"do": "answer"}, {"images": b"12"})
    >>> _ = stream.seek(0)
    >>> receive(stream), receive(stream)
    (({'do': 'answer'}, {'images': b'12'}), None)
    """
    parts = parts or {}
    head = json.dumps({"fields": dict(fields), "parts": {name: len(part) for name, part in parts.items()}}).encode()
    rest = memoryview(struct.pack("<Q", len(head)) + head + b"".join(parts.values()))
    while rest:  # a stream without a buffer takes a part at a time
        rest = rest[stream.write(rest) :]
    stream.flush()


def receive(stream: IO[bytes]) -> Message | None:
    """Read one message; None at the end. Raises ValueError for what is no message, or too large a one."""
    first = stream.read(1)
    if not first:
        return None
    (size,) = struct.unpack("<Q", first + _exactly(stream, 7))
    if size > _MOST_HEAD_BYTES:
        raise ValueError(f"fields of {size} bytes")
    head = json.loads(_exactly(stream, size))
    fields, sizes = head["fields"], head["parts"]
    if not isinstance(fields, dict) or sum(sizes.values()) > _MOST_BYTES:
        raise ValueError("no message, or too large a one")
    return fields, {name: _exactly(stream, number) for name, number in sizes.items()}


def _exactly(stream: IO[bytes], number: int) -> bytes:
    if not 0 <= number <= _MOST_BYTES:
        raise ValueError(f"a part of {number} bytes")
    part = bytearray()
    while len(part) < number:
        more = stream.read(number - len(part))
        if not more:
            raise ValueError("a message that is cut short")
        part += more
    return bytes(part)
