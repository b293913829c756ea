"""IDX, the format of the MNIST files: a reader that believes nothing, and its counterpart.

A file is a big-endian header (magic 0x0000'08'0d: unsigned bytes in d dimensions, then d sizes of 4 bytes) and the
bytes themselves, plain or gzipped. Shape suffixes: N images, H rows, W columns.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from tinydigits.errors import TinydigitsError

__all__ = ["MAX_BYTES", "ROLES", "SPLITS", "encode", "file_names", "read", "read_pair"]

ROLES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
"""The four files of a set, by what they hold."""
SPLITS = {"train": ROLES[:2], "test": ROLES[2:]}
"""Each split's files, the images first."""

MAX_BYTES = 1 << 30
"""No honest set of this kind is larger: 1 GiB is 1.3 million images. What promises more is refused unread."""

_MAX_GZIP_RATIO = 1032  # deflate cannot pack more into a byte, so a header that promises more is a lie


def file_names(role: str) -> tuple[str, ...]:
    """The names that the file of a role goes by, the published one first.

    >>> file_names("t10k-labels")[:2]
    ('t10k-labels-idx1-ubyte.gz', 't10k-labels-idx1-ubyte')

    The variants with a dot (`t10k-labels.idx1-ubyte`) are what some archives unpack to.
    """
    dims = 3 if role.endswith("images") else 1
    stems = (f"{role}-idx{dims}-ubyte", f"{role}.idx{dims}-ubyte")
    return tuple(stem + suffix for stem in stems for suffix in (".gz", ""))


def read_pair(images_path: Path, labels_path: Path, *, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read 28×28 images and their labels, as many of the one as of the other: uint8 (N, 28, 28) and uint8 (N,).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images, labels = (Path(folder, file_names(role)[0]) for role in ROLES[:2])
    ...     _ = images.write_bytes(encode(np.zeros((5, 28, 28), np.uint8)))
    ...     _ = labels.write_bytes(encode(np.arange(4, dtype=np.uint8)))
    ...     try:
    ...         read_pair(images, labels, num_classes=10)
    ...     except TinydigitsError as error:
    ...         print(error.problem, "|", error.got, "|", error.expected)
    labels do not match train-images-idx3-ubyte.gz | 4 labels | 5
    """
    labels_N, images_NHW = read(labels_path, num_dims=1), read(images_path, num_dims=3)
    wrong = np.flatnonzero(labels_N >= num_classes)
    if len(wrong):
        got = f"label {labels_N[wrong[0]]} at position {wrong[0]}"
        raise TinydigitsError(labels_path, got=got, expected=f"0 to {num_classes - 1}")
    if images_NHW.shape[1:] != (28, 28):
        height, width = images_NHW.shape[1:]
        raise TinydigitsError(images_path, got=f"images of {height}×{width}", expected="28×28")
    if len(images_NHW) != len(labels_N):
        raise TinydigitsError(
            labels_path,
            f"labels do not match {Path(images_path).name}",
            got=f"{len(labels_N)} labels",
            expected=len(images_NHW),
        )
    return images_NHW, labels_N


def encode(array: np.ndarray, *, packed: bool = False) -> bytes:
    """A uint8 array as the bytes of an IDX file, plain or gzipped; the same array gives the same bytes.

    >>> encode(np.array([7, 2], np.uint8)).hex(" ", 2)
    '0000 0801 0000 0002 0702'
    """
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
    content = header + np.ascontiguousarray(array, dtype=np.uint8).tobytes()
    return gzip.compress(content, mtime=0) if packed else content


def read(path: Path, *, num_dims: int) -> np.ndarray:
    """Read a file of images, uint8 (N, H, W), or of labels, (N,); TinydigitsError says what it has and should have."""
    try:
        with path.open("rb") as file:
            num_stored = path.stat().st_size
            is_gzip = file.peek(2)[:2] == b"\x1f\x8b"  # by content: browsers unpack files and keep their `.gz`
            if not is_gzip:
                return _decode(file, path, num_dims, num_stored=num_stored, max_bytes=num_stored)
            with gzip.GzipFile(fileobj=file) as unpacked:
                max_bytes = num_stored * _MAX_GZIP_RATIO
                return _decode(unpacked, path, num_dims, num_stored=None, max_bytes=max_bytes)
    except EOFError as error:
        raise TinydigitsError(path, "truncated gzip", got=f"{num_stored} bytes", expected="a whole file") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise TinydigitsError(path, f"damaged gzip ({error})") from error
    except OSError as error:
        raise TinydigitsError(path, f"cannot be read ({error.strerror or error})") from error


def _decode(
    stream: io.BufferedReader | gzip.GzipFile, path: Path, num_dims: int, *, num_stored: int | None, max_bytes: int
) -> np.ndarray:
    """Header, then sizes, then memory: in this order, so that no header can ask for memory that its file lacks."""
    num_header = 4 * (1 + num_dims)
    header = stream.read(num_header)
    kind = "images" if num_dims == 3 else "labels"
    if len(header) < num_header:
        raise TinydigitsError(path, got=f"{len(header)} bytes", expected=f"a header of {num_header} bytes ({kind})")
    magic, *shape = struct.unpack(f">{1 + num_dims}I", header)
    if magic != 0x0800 + num_dims:
        raise TinydigitsError(path, got=f"magic {magic:#010x}", expected=f"{0x0800 + num_dims:#010x} (IDX {kind})")
    num_bytes = math.prod(shape)
    size = "×".join(map(str, shape))
    if not 0 < num_bytes <= MAX_BYTES:
        raise TinydigitsError(path, got=f"{size} in the header", expected=f"1 to {MAX_BYTES} bytes")
    promised = f"{num_header + num_bytes} bytes for {size}"
    if num_stored is not None and num_stored != num_header + num_bytes:
        raise TinydigitsError(path, "size does not match the header", got=f"{num_stored} bytes", expected=promised)
    if num_header + num_bytes > max_bytes:
        raise TinydigitsError(path, "too short for its header", got=f"at most {max_bytes} bytes", expected=promised)
    array = np.empty(num_bytes, dtype=np.uint8)
    num_read = 0
    while num_read < num_bytes and (num_more := stream.readinto(array.data[num_read:])):
        num_read += num_more
    if num_read < num_bytes:
        raise TinydigitsError(path, "too short", got=f"{num_header + num_read} bytes", expected=promised)
    if stream.read(1):  # reading past the end also makes gzip compare its checksum
        raise TinydigitsError(path, "too long", got="more", expected=promised)
    return array.reshape(shape)
