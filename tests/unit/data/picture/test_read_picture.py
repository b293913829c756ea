"""Picture files of every kind, and what is said of those that are none."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinydigits.data.picture import Picture, files, find_digits, ink, read_picture
from tinydigits.data.picture.ink import find_ink
from tinydigits.errors import TinydigitsError

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def four(paper: object, ink: object, mode: str = "RGB", size: int = 1) -> Image.Image:
    """A four, which no turn and no mirror brings onto itself."""
    image = Image.new(mode, (60 * size, 90 * size), paper)  # type: ignore[arg-type]
    for left, top, right, bottom in ((10, 10, 16, 50), (10, 44, 50, 50), (36, 24, 42, 80)):
        image.paste(ink, (left * size, top * size, right * size, bottom * size))  # type: ignore[arg-type]
    return image


def seen(picture: Picture) -> np.ndarray:
    [digit] = find_digits(picture.pixels_HW4)
    return digit.image_HW.astype(int)


EXPECTED = seen(read_picture(encoded(four(WHITE, BLACK), "png")))


def likeness(picture: Picture) -> float:
    """The correlation of the four as it is seen with the plain one; turned or mirrored it would be 0.5 or less."""
    shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return max(np.corrcoef(np.roll(seen(picture), by, (0, 1)).ravel(), EXPECTED.ravel())[0, 1] for by in shifts)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "bmp", "tiff"])
def test_formats(kind: str) -> None:
    picture_HW4 = read_picture(encoded(Image.new("RGB", (30, 20), (250, 250, 250)), kind)).pixels_HW4
    assert picture_HW4.shape == (20, 30, 4) and picture_HW4.dtype == np.uint8
    assert (np.abs(picture_HW4.astype(int) - (250, 250, 250, 255)) <= 2).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_modes(mode: str) -> None:
    image = Image.new(mode, (8, 8))
    assert read_picture(encoded(image, "tiff")).pixels_HW4.shape == (8, 8, 4)


FOURS = {
    "black in LA": (four((0, 0), (0, 255), "LA"), "png", {}),
    "white in LA": (four((255, 0), (255, 255), "LA"), "png", {}),
    "black on transparent white": (four((255, 255, 255, 0), (0, 0, 0, 255), "RGBA"), "png", {}),
    "white on transparent black": (four((0, 0, 0, 0), (255, 255, 255, 255), "RGBA"), "webp", {"lossless": True}),
    "white on transparent white": (four((255, 255, 255, 0), (255, 255, 255, 255), "RGBA"), "tiff", {}),
    "a palette": (four(0, 1, "P"), "png", {"transparency": 0}),
    "a palette of a GIF": (four(0, 1, "P"), "gif", {"transparency": 0}),
    "a palette with opacities": (four(0, 1, "P"), "png", {"transparency": bytes([0, 255])}),
    "grey with one transparent level": (four(255, 0, "L"), "png", {"transparency": 255}),
    "one bit": (four(1, 0, "1"), "png", {}),
    "one bit as faxes have it": (four(1, 0, "1"), "tiff", {"compression": "group4"}),
    "one bit, inverted": (four(0, 1, "1"), "bmp", {}),
    "plain text": (four(WHITE, BLACK), "ppm", {}),
    "16 bits": (Image.fromarray(np.asarray(four(40_000, 9_000, "I")).astype(np.uint16)), "png", {}),
    "32 bits": (four(70_000, 100, "I"), "tiff", {}),
    "doubles": (four(0.7, -3.5, "F"), "tiff", {}),
    "inks of a press": (four((0, 0, 0, 0), (0, 0, 0, 255), "CMYK"), "jpeg", {"quality": 95}),
    "inks of a press, unpacked": (four((0, 0, 0, 0), (60, 60, 60, 255), "CMYK"), "tiff", {}),
    "a progressive JPEG": (four(WHITE, BLACK), "jpeg", {"quality": 95, "progressive": True}),
    "grey JPEG": (four(255, 0, "L"), "jpeg", {"quality": 95}),
}


@pytest.mark.parametrize("name", FOURS)
def test_a_four_is_the_same_in_every_mode_and_on_nothing(name: str) -> None:
    image, kind, options = FOURS[name]
    if image.mode == "P":
        image.putpalette([255, 255, 255, 0, 0, 160])
    assert likeness(read_picture(encoded(image, kind, **options))) > 0.85


TURNS = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip
"""How a camera that notes this orientation stores what is upright."""


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "png of 16 bits", "large jpeg"])
def test_each_way_of_holding_a_camera_gives_the_upright_picture(kind: str, orientation: int) -> None:
    upright = four(WHITE, BLACK, size=40 if kind == "large jpeg" else 1)
    if kind == "png of 16 bits":
        upright = Image.fromarray(np.asarray(upright.convert("L")).astype(np.uint16) * 200)
    turn = TURNS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if turn is None else upright.transpose(turn)
    picture = read_picture(encoded(stored, kind.split()[-1] if "large" in kind else kind.split()[0], exif=exif))
    assert (picture.width, picture.height) == upright.size
    assert picture.shrunk_by == (2 if kind == "large jpeg" else 1)
    assert likeness(picture) > 0.85
    [digit] = find_digits(picture.pixels_HW4)
    expected = np.array((10, 10, 40, 70)) * (40 if kind == "large jpeg" else 1)
    assert np.abs(np.array(picture.in_file(digit.box)) - expected).max() <= (24 if kind == "large jpeg" else 1)


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tiff"])
def test_of_an_animation_or_several_pages_the_first_is_read(kind: str) -> None:
    others = [Image.new("RGB", (60, 90), WHITE), four(BLACK, WHITE).transpose(Image.Transpose.ROTATE_180)]
    content = encoded(four(WHITE, BLACK), kind, save_all=True, append_images=others)
    assert likeness(read_picture(content)) > 0.85


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """As a shell's `<(…)` gives it."""
    os.mkfifo(tmp_path / "pipe")
    content = encoded(four(WHITE, BLACK), "png")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    assert (seen(read_picture(tmp_path / "pipe")) == EXPECTED).all()
    writer.join()


def test_numbers_that_are_none_count_as_zero() -> None:
    levels = np.asarray(four(0.7, -3.5, "F")).copy()
    levels[:3] = np.nan
    assert read_picture(encoded(Image.fromarray(levels), "tiff")).pixels_HW4[50, 2, 0] == 255


def test_sixteen_bits_keep_their_contrast() -> None:
    levels = np.full((8, 8), 300, np.uint16)
    levels[2:6, 3:5] = 100
    picture_HW4 = read_picture(encoded(Image.fromarray(levels), "png")).pixels_HW4
    assert picture_HW4[0, 0, 0] == 255 and picture_HW4[3, 3, 0] == 0


def test_a_large_jpeg_is_decoded_at_a_fraction() -> None:
    picture = read_picture(encoded(Image.new("RGB", (4097, 3072), (255, 255, 255)), "jpeg"))
    assert picture.pixels_HW4.shape == (1536, 2049, 4)
    assert (picture.width, picture.height, picture.shrunk_by) == (4097, 3072, 2)
    assert picture.in_file((2040, 1530, 9, 6)) == (4080, 3060, 17, 12)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"hello", "not a picture"), (b"\x89PNG\r\n\x1a\n", "picture")],
)
def test_what_is_no_picture_is_said_to_be_none(content: bytes, reason: str) -> None:
    with pytest.raises(TinydigitsError, match=reason):
        read_picture(content)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"])
def test_the_bands_that_it_is_read_in_do_not_show(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.random.default_rng(0).integers(0, 255, (90, 70, 4), np.uint8)
    image = Image.fromarray(levels[:, :, 0]) if mode in ("I", "I;16", "F") else Image.fromarray(levels)
    content = encoded(image.convert(mode), "tiff" if mode in ("CMYK", "YCbCr", "F", "I") else "png")
    whole_HW4 = read_picture(content).pixels_HW4
    once = find_ink(whole_HW4)
    monkeypatch.setattr(files, "_BAND_PIXELS", 500)
    monkeypatch.setattr(ink, "_BAND_PIXELS", 500)
    assert np.array_equal(read_picture(content).pixels_HW4, whole_HW4)
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
    with pytest.raises(TinydigitsError, match=r"gone\.png: no such file"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(TinydigitsError, match="cannot be read: Is a directory"):
        read_picture(tmp_path)
