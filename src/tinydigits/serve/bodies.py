"""What `POST /predict` is asked: its query, and its body, read up to a bound and checked number by number."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException, Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

__all__ = ["PREDICT", "Bodies", "images_of_json", "many_of", "read_files"]

_PIECE_BYTES = 65_536

_MANY = {"true": True, "1": True, "false": False, "0": False}
PREDICT: dict[str, Any] = json.loads(Path(__file__).with_name("predict.json").read_text(encoding="utf-8"))
"""How OpenAPI describes `POST /predict`."""
PREDICT["requestBody"]["content"]["application/json"]["examples"] = {
    "one": {"summary": "One image", "value": [0] * 378 + [255] * 28 + [0] * 378},
    "many": {"summary": "Many images", "value": {"images": [[0] * 784, [255] * 784]}},
}


def many_of(request: Request) -> bool:
    """The query's `many`; 422 for anything but true, false, 1 and 0."""
    text = request.query_params.get("many", "false").lower()
    if text not in _MANY:
        raise HTTPException(422, f"many: got {text!r}, expected true or false")
    return _MANY[text]


class Bodies:
    """Reads bodies up to a bound, and holds no more than `max_held_bytes` of all of them at once."""

    def __init__(self, max_held_bytes: int) -> None:
        self.max_held_bytes, self.held_bytes = max_held_bytes, 0

    @asynccontextmanager
    async def read(self, request: Request, max_bytes: int) -> AsyncIterator[bytes]:
        """The whole body while it is needed; 413 as soon as it is known to be longer than `max_bytes`."""
        stated = request.headers.get("content-length", "")
        too_long = HTTPException(413, f"the body is longer than {max_bytes:,} bytes")
        if stated.isdigit() and int(stated) > max_bytes:
            raise too_long
        parts: list[bytes] = []
        size = 0
        try:
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                self.held_bytes += len(part)
                if size > max_bytes:
                    raise too_long
                if self.held_bytes > self.max_held_bytes:
                    raise HTTPException(503, "busy: too many large bodies; try again", {"retry-after": "1"})
            if not size:
                raise HTTPException(400, "the body is empty")
            yield b"".join(parts)
        except ClientDisconnect as error:
            raise HTTPException(400, "the client left before its body was whole") from error
        finally:
            self.held_bytes -= size


def images_of_json(body: bytes, max_images: int) -> np.ndarray:
    """Images uint8 (N, 28, 28) of a JSON body: 784 whole numbers, or {"images": [784 numbers, …]}."""
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"not JSON: {error}") from error
    images = tree
    if isinstance(tree, dict):
        if set(tree) != {"images"} or not isinstance(tree["images"], list) or not tree["images"]:
            raise HTTPException(422, 'an object must be {"images": [[784 numbers], …]}')
        images = tree["images"]
    elif isinstance(tree, list):
        images = [tree]
    else:
        raise HTTPException(422, "expected a list of 784 numbers, or an object with images")
    if len(images) > max_images:
        raise HTTPException(413, f"{len(images):,} images; at most {max_images:,} at once")
    rows = []
    for index, image in enumerate(images):
        if not isinstance(image, list) or len(image) != 784:
            got = f"{len(image)} values" if isinstance(image, list) else type(image).__name__
            raise HTTPException(422, f"image {index}: got {got}, expected 784 whole numbers")
        try:
            # A bool is a kind of int in Python, and no grey level; `bytes` refuses all else but 0 to 255.
            rows.append(bytes(image) if set(map(type, image)) == {int} else bytes([-1]))
        except ValueError as error:
            raise HTTPException(422, f"image {index}: every number must be whole, from 0 to 255") from error
    return np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(-1, 28, 28)


class _FormParser(MultiPartParser):
    spool_max_size = sys.maxsize  # the body is bounded, and nothing of it goes to the disk


async def read_files(request: Request, body: bytes, max_files: int) -> list[bytes]:
    """The files of a multipart form."""

    async def in_pieces() -> AsyncGenerator[bytes, None]:
        # A form can be made to take a microsecond for each byte; others are answered between two pieces.
        for start in range(0, len(body), _PIECE_BYTES):
            yield body[start : start + _PIECE_BYTES]
            await asyncio.sleep(0)

    try:
        form = await _FormParser(Headers(raw=request.headers.raw), in_pieces(), max_files=max_files).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise HTTPException(400, f"not a multipart form: {error}") from error
    files = [await value.read() for value in form.getlist("file") if isinstance(value, UploadFile)]
    await form.close()
    if not files:
        raise HTTPException(422, "the form has no file named 'file'")
    return files
