"""The IDX reader: what is written comes back, and everything else is an error that names the file."""

from __future__ import annotations

import gzip
import struct
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinydigits.data import idx
from tinydigits.errors import TinydigitsError

IMAGES = idx.encode(np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4))
LABELS = idx.encode(np.array([3, 1, 4], dtype=np.uint8))
HUGE = struct.pack(">4I", 0x0803, 0xFFFFFFFF, 28, 28)


def header(*sizes: int) -> bytes:
    return struct.pack(f">{1 + len(sizes)}I", 0x0800 + len(sizes), *sizes)


BAD_IMAGES = {
    "empty": (b"", "got 0 bytes, expected a header of 16 bytes"),
    "half a header": (IMAGES[:9], "got 9 bytes, expected a header of 16 bytes"),
    "labels": (LABELS + bytes(9), "got magic 0x00000801, expected 0x00000803"),
    "floats": (b"\0\0\x0d\x03" + IMAGES[4:], "got magic 0x00000d03"),
    "little end first": (IMAGES[3::-1] + IMAGES[4:], "got magic 0x03080000"),
    "a web page": (b"<!DOCTYPE html><html></html>", "got magic 0x3c21444f"),
    "one byte short": (IMAGES[:-1], "got 39 bytes, expected 40 bytes for 2×3×4"),
    "one byte long": (IMAGES + b"\0", "got 41 bytes, expected 40 bytes for 2×3×4"),
    "no images": (header(0, 28, 28), "got 0×28×28 in the header"),
    "images of no size": (header(5, 0, 28), "got 5×0×28 in the header"),
    "2^32 images": (HUGE + bytes(100), "got 4294967295×28×28 in the header"),
    "1 GiB promised": (header(1 << 20, 32, 32) + bytes(100), "got 116 bytes, expected 1073741840 bytes"),
    "gzip: cut": (gzip.compress(IMAGES)[:-9], "truncated gzip"),
    "gzip: cut in its header": (gzip.compress(IMAGES)[:5], "truncated gzip"),
    "gzip: wrong checksum": (gzip.compress(IMAGES)[:-8] + bytes(8), "damaged gzip"),
    "gzip: garbage inside": (gzip.compress(IMAGES)[:10] + b"\xff" * 20, "damaged gzip"),
    "gzip: garbage after": (gzip.compress(IMAGES) + b"garbage", "damaged gzip"),
    "gzip: one byte short": (gzip.compress(IMAGES[:-1]), "too short, got 39 bytes, expected 40 bytes"),
    "gzip: one byte long": (gzip.compress(IMAGES + b"\0"), "too long"),
    "gzip: 2^32 images": (gzip.compress(HUGE), "got 4294967295×28×28 in the header"),
    "gzip: 1 GiB promised": (gzip.compress(header(1 << 20, 32, 32)), "too short for its header"),
}


@pytest.mark.parametrize("content, message", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_bad_images_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(TinydigitsError) as caught:
        idx.read(path, num_dims=3)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(TinydigitsError, match=r"nothing: cannot be read \(No such file or directory\)"):
        idx.read(tmp_path / "nothing", num_dims=3)


def test_a_label_out_of_range_is_said_with_its_place(tmp_path):
    (tmp_path / "images").write_bytes(idx.encode(np.zeros((4, 28, 28), np.uint8)))
    (tmp_path / "labels").write_bytes(idx.encode(np.array([0, 9, 10, 200], dtype=np.uint8)))
    with pytest.raises(TinydigitsError, match="labels: got label 10 at position 2, expected 0 to 9"):
        idx.read_pair(tmp_path / "images", tmp_path / "labels", num_classes=10)
    assert idx.read_pair(tmp_path / "images", tmp_path / "labels", num_classes=201)[1].tolist() == [0, 9, 10, 200]


def test_images_and_labels_must_be_as_many(tmp_path):
    (tmp_path / "images").write_bytes(idx.encode(np.zeros((4, 28, 28), np.uint8)))
    (tmp_path / "labels").write_bytes(idx.encode(np.zeros(5, np.uint8)))
    with pytest.raises(TinydigitsError, match="labels: labels do not match images, got 5 labels, expected 4"):
        idx.read_pair(tmp_path / "images", tmp_path / "labels", num_classes=10)


def test_other_sizes_of_images_are_refused(tmp_path):
    (tmp_path / "images").write_bytes(idx.encode(np.zeros((5, 16, 12), np.uint8)))
    (tmp_path / "labels").write_bytes(idx.encode(np.zeros(5, np.uint8)))
    with pytest.raises(TinydigitsError, match="images: got images of 16×12, expected 28×28"):
        idx.read_pair(tmp_path / "images", tmp_path / "labels", num_classes=10)


def _bomb() -> bytes:
    """128 MB in 130 kB, behind the header of a small file."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1 << 20)
    return packer.compress(header(10, 28, 28)) + b"".join(packer.compress(zeros) for _ in range(128)) + packer.flush()


@pytest.mark.parametrize(
    "content",
    [HUGE, header(1 << 20, 32, 32), gzip.compress(HUGE), gzip.compress(header(1 << 20, 32, 32)), _bomb()],
    ids=["2^32", "1 GiB", "gzip 2^32", "gzip 1 GiB", "gzip bomb"],
)
def test_no_header_and_no_bomb_takes_memory(tmp_path, content):
    path = tmp_path / "images"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(TinydigitsError):
            idx.read(path, num_dims=3)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    fill=st.binary(min_size=125, max_size=125),
    packed=st.booleans(),
)
def test_what_is_written_is_read(shape, fill, packed):
    array = np.frombuffer(fill, np.uint8)[: np.prod(shape)].reshape(shape)
    content = idx.encode(array, packed=packed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images.gz")  # told by content, not by name
        path.write_bytes(content)
        back = idx.read(path, num_dims=3)
        assert back.dtype == np.uint8 and back.flags.writeable and np.array_equal(back, array)
    assert not packed or content[4:8] == bytes(4)  # the clock does not change the bytes


@settings(max_examples=150, deadline=None)
@given(edits=st.lists(st.tuples(st.integers(0, 45), st.binary(max_size=3)), max_size=4), is_packed=st.booleans())
def test_an_edited_file_is_an_error_or_what_its_header_says(edits, is_packed):
    content = bytearray(IMAGES)
    for at, replacement in edits:
        content[at : at + 2] = replacement
    plain = bytes(content)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images")
        path.write_bytes(gzip.compress(plain) if is_packed else plain)
        try:
            array = idx.read(path, num_dims=3)
        except TinydigitsError as error:
            assert str(error).startswith(f"{path}: ")
        else:
            assert idx.encode(array) == plain


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, 60), at=st.integers(0, 60), byte=st.integers(0, 255))
def test_a_damaged_gzip_is_an_error_or_harmless(cut, at, byte):
    packed = bytearray(gzip.compress(IMAGES, mtime=0))
    packed[at % len(packed)] = byte
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "images")
        path.write_bytes(packed[: len(packed) - cut] if cut < len(packed) else packed)
        try:
            assert idx.encode(idx.read(path, num_dims=3)) == IMAGES
        except TinydigitsError as error:
            assert str(error).startswith(f"{path}: ")
