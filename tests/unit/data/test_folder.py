"""A user's own folders, in each layout, and what is wrong with them said by name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinydigits import data
from tinydigits.data import idx
from tinydigits.errors import TinydigitsError


def save(path: Path, level: int = 100, size: tuple[int, int] = (28, 28), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).convert(mode).save(path)


def levels(image_set: data.ImageSet) -> list[int]:
    return image_set.images_NHW[:, 0, 0].tolist()


def put_idx(folder: Path, suffix: str = ".gz", *, dot: bool = False) -> None:
    for role in idx.ROLES:
        num = 4 if role.startswith("train") else 2
        array = np.full((num, 28, 28), num, np.uint8) if role.endswith("images") else np.arange(num, dtype=np.uint8)
        name = idx.file_names(role)[2 if dot else 0].removesuffix(".gz") + suffix
        idx.write(folder / name, array)


@pytest.mark.parametrize("suffix, dot", [(".gz", False), ("", False), (".gz", True), ("", True)])
def test_four_idx_files(tmp_path, suffix, dot):
    put_idx(tmp_path, suffix, dot=dot)
    train, test = (data.load(str(tmp_path), split) for split in ("train", "test"))
    assert (train.name, len(train), levels(test)) == (tmp_path.name, 4, [2, 2])
    assert train.classes == tuple("0123456789")
    put_idx(tmp_path, ".gz")
    assert data.load(str(tmp_path), "train").sha256 == train.sha256


@pytest.mark.parametrize("role", idx.ROLES)
def test_three_idx_files_are_not_a_set(tmp_path, role):
    put_idx(tmp_path)
    (tmp_path / idx.file_names(role)[0]).unlink()
    for split in ("train", "test"):
        with pytest.raises(TinydigitsError, match=f"no {role}-idx.-ubyte.gz, expected four IDX files"):
            data.load(str(tmp_path), split)


def test_idx_labels_are_0_to_9(tmp_path):
    put_idx(tmp_path)
    idx.write(tmp_path / "train-labels-idx1-ubyte.gz", np.array([1, 2, 3, 10], np.uint8))
    with pytest.raises(TinydigitsError, match=r"train-labels-idx1-ubyte.gz: got label 10"):
        data.load(str(tmp_path), "train")


def test_a_folder_for_each_split_and_class(tmp_path):
    for split in ("train", "test"):
        for name in ("10", "2", "1"):
            for i in (10, 9, 1):
                save(tmp_path / split / name / f"{i}.png", int(name) + 20 * i + (split == "test"))
    train, test = (data.load(str(tmp_path), split) for split in ("train", "test"))
    assert train.classes == test.classes == ("1", "2", "10"), "in natural order"
    assert train.labels_N.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert levels(train) == [21, 181, 201, 22, 182, 202, 30, 190, 210]
    assert levels(test) == [level + 1 for level in levels(train)]


def test_a_folder_for_each_class_keeps_every_sixth_image_for_testing(tmp_path):
    for label, name in enumerate(("cat", "dog")):
        for i in range(13 + label):
            save(tmp_path / name / f"{i}.png", 100 * label + i)
    train, test = (data.load(str(tmp_path), split) for split in ("train", "test"))
    assert levels(test) == [5, 11, 105, 111]
    assert test.labels_N.tolist() == [0, 0, 1, 1]
    assert sorted(levels(train) + levels(test)) == [*range(13), *range(100, 114)]


def test_what_is_not_an_image_file_is_left_alone(tmp_path):
    for name in ("a", "b"):
        for i in range(6):
            save(tmp_path / name / f"{i}.png")
        (tmp_path / name / "notes.txt").write_text("notes")
        (tmp_path / name / "._0.png").write_text("a Mac was here")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "labels.csv").write_text("")
    assert len(data.load(str(tmp_path), "train")) == 10


@pytest.fixture
def one_image(tmp_path):
    """Load a set in which one image is made by the test: its path, and a function that loads it."""
    for name in ("a", "b"):
        save(tmp_path / "test" / name / "0.png")
        save(tmp_path / "train" / name / "1.png")
    path = tmp_path / "train" / "a" / "0.png"

    def load() -> np.ndarray:
        return data.load(str(tmp_path), "train").images_NHW[0]

    return path, load


def digit_like(mode: str, size: tuple[int, int]) -> Image.Image:
    image = Image.new("L", size, 0)
    image.paste(255 if mode == "1" else 180, (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2 + size[1] // 4))
    return image.convert(mode)


def test_an_image_of_28_by_28_is_taken_as_it_is(one_image):
    path, load = one_image
    expected = np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)
    Image.fromarray(expected).save(path)
    assert np.array_equal(load(), expected)
    Image.fromarray(np.stack([expected] * 3, axis=-1)).save(path)
    assert np.array_equal(load(), expected), "grey in three channels is grey"


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1", "LA", "RGBA", "CMYK", "I;16"])
def test_any_other_size_is_brought_to_mnists_geometry(one_image, mode):
    path, load = one_image
    gray = np.asarray(digit_like("1" if mode == "1" else "L", (80, 120)).convert("L"))
    if mode == "I;16":
        Image.fromarray(gray.astype(np.uint16) * 257).save(path)
    elif mode == "CMYK":
        Image.fromarray(gray).convert("RGB").convert("CMYK").save(path, format="TIFF")
    else:
        digit_like(mode, (80, 120)).save(path)
    assert np.array_equal(load(), data.to_mnist_geometry(gray))


def test_what_is_transparent_is_black(one_image):
    path, load = one_image
    image = np.zeros((28, 28, 4), np.uint8)
    image[..., :3], image[:14, :, 3] = 200, 255
    Image.fromarray(image).save(path)
    assert load()[:14].min() == 200 and load()[14:].max() == 0
    paletted = Image.fromarray(np.repeat(np.array([[120], [90]], np.uint8), 14, axis=0).repeat(28, axis=1)).convert("P")
    paletted.save(path, transparency=90)
    assert load()[:14].min() == 120 and load()[14:].max() == 0


def claims_to_be_large(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 10_000, 60_000])
def test_a_decompression_bomb_is_refused_by_name(one_image, side):
    path, load = one_image
    path.write_bytes(claims_to_be_large(side, side))
    with pytest.raises(TinydigitsError, match=r"train/a/0.png: .*pixels.*expected at most 50000000"):
        load()


BAD_IMAGES = {
    "empty": (lambda _: b"", "not an image"),
    "text": (lambda _: b"not a picture", "not an image"),
    "cut": (lambda png: png[: len(png) // 2], "cannot be read as an image"),
    "flipped": (lambda png: png[:60] + bytes([255 - b for b in png[60:90]]) + png[90:], "cannot be read as an image"),
    "a program": (lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image"),
}


@pytest.mark.parametrize("damage, message", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_an_unreadable_image_is_refused_by_name(one_image, damage, message):
    path, load = one_image
    noise = np.random.default_rng(0).integers(0, 256, (50, 50)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TinydigitsError) as caught:
        load()
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_class_only_in_test_is_refused(tmp_path):
    for path in ("train/a", "train/b", "test/a", "test/c"):
        save(tmp_path / path / "0.png")
    with pytest.raises(TinydigitsError, match="test/c: a class without training images"):
        data.load(str(tmp_path), "train")


def test_too_few_images_to_keep_a_sixth(tmp_path):
    for name, num in (("a", 6), ("b", 5)):
        for i in range(num):
            save(tmp_path / name / f"{i}.png")
    with pytest.raises(TinydigitsError, match=r"b: got 5 images, expected at least 6(.|\n)*train/<class>/"):
        data.load(str(tmp_path), "train")


def test_an_empty_split_is_refused(tmp_path):
    for path in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / path).mkdir(parents=True)
    save(tmp_path / "train" / "a" / "0.png")
    with pytest.raises(TinydigitsError, match="test: got no images"):
        data.load(str(tmp_path), "test")


@pytest.mark.parametrize("num, got", [(0, "0 folders"), (1, "1 folders"), (257, "257 folders")])
def test_a_folder_without_a_set_is_refused(tmp_path, num, got):
    for i in range(num):
        (tmp_path / str(i)).mkdir()
    with pytest.raises(TinydigitsError, match=f"got {got}, expected 2 to 256, one for each class"):
        data.load(str(tmp_path), "train")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(TinydigitsError, match="nowhere: got no folder"):
        data.load(str(tmp_path / "nowhere"), "train")
