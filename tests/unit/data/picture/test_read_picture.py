"""Picture files of every kind, and what is said of those that are none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinydigits.data.picture import files, ink, read_picture
from tinydigits.data.picture.ink import find_ink
from tinydigits.errors import TinydigitsError


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "tiff"])
def test_formats(kind: str) -> None:
    picture_HW4 = read_picture(encoded(Image.new("RGB", (30, 20), (250, 250, 250)), kind))
    assert picture_HW4.shape == (20, 30, 4) and picture_HW4.dtype == np.uint8
    assert (np.abs(picture_HW4.astype(int) - (250, 250, 250, 255)) <= 2).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_modes(mode: str) -> None:
    image = Image.new(mode, (8, 8))
    assert read_picture(encoded(image, "tiff")).shape == (8, 8, 4)


def test_sixteen_bits_keep_their_contrast() -> None:
    levels = np.full((8, 8), 300, np.uint16)
    levels[2:6, 3:5] = 100
    picture_HW4 = read_picture(encoded(Image.fromarray(levels), "png"))
    assert picture_HW4[0, 0, 0] == 255 and picture_HW4[3, 3, 0] == 0


def test_a_large_jpeg_is_decoded_at_a_fraction() -> None:
    picture_HW4 = read_picture(encoded(Image.new("RGB", (4096, 3072), (255, 255, 255)), "jpeg"))
    assert picture_HW4.shape == (1536, 2048, 4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "not a picture"), (b"hello", "not a picture"), (b"\x89PNG\r\n\x1a\n", "picture")],
)
def test_what_is_no_picture_is_said_to_be_none(content: bytes, reason: str) -> None:
    with pytest.raises(TinydigitsError, match=reason):
        read_picture(content)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"])
def test_the_bands_that_it_is_read_in_do_not_show(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.random.default_rng(0).integers(0, 255, (90, 70, 4), np.uint8)
    image = Image.fromarray(levels[:, :, 0]) if mode in ("I", "I;16", "F") else Image.fromarray(levels)
    content = encoded(image.convert(mode), "tiff" if mode in ("CMYK", "YCbCr", "F", "I") else "png")
    whole_HW4 = read_picture(content)
    once = find_ink(whole_HW4)
    monkeypatch.setattr(files, "_BAND_PIXELS", 500)
    monkeypatch.setattr(ink, "_BAND_PIXELS", 500)
    assert np.array_equal(read_picture(content), whole_HW4)
    again = find_ink(whole_HW4)
    assert np.array_equal(again.gray_HW, once.gray_HW) and np.array_equal(again.is_ink_HW, once.is_ink_HW)


def test_half_a_picture_is_refused() -> None:
    whole = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)), "png")
    with pytest.raises(TinydigitsError, match="cannot be read"):
        read_picture(whole[: len(whole) // 2])


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(TinydigitsError, match="at most 5,000 pixels"):
        read_picture(encoded(Image.new("1", (100, 100)), "png"), max_pixels=5000)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TinydigitsError, match=r"gone\.png"):
        read_picture(tmp_path / "gone.png")
