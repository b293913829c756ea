"""A user's own folders, in each layout, and what is wrong with them said by name."""

from __future__ import annotations

import re
import shutil
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tinydigits import data, prediction
from tinydigits.data import idx
from tinydigits.errors import DataWarning, TinydigitsError

CLASSIFIER = prediction.open_model()


def draw(path: Path, *, dark: bool = True, size: tuple[int, int] = (64, 80), **options: object) -> Path:
    """A picture with a stroke that differs from name to name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scribble(path.as_posix(), dark=dark, size=size).save(path, **options)
    return path


def scribble(seed: str, *, dark: bool = True, size: tuple[int, int] = (64, 80)) -> Image.Image:
    points = np.random.default_rng(zlib.crc32(seed.encode())).uniform(0.2, 0.8, (5, 2)) * size
    image = Image.new("L", size, 255 if dark else 0)
    ImageDraw.Draw(image).line([tuple(point) for point in points], fill=0 if dark else 255, width=max(2, size[0] // 12))
    return image


def seen_by_predict(path: Path) -> np.ndarray:
    """What a model is asked when `tinydigits predict` reads this file."""
    [answer] = prediction.classify_picture(str(path), CLASSIFIER)
    return answer.image_HW


def same(image_set: data.ImageSet, paths: list[Path]) -> bool:
    return np.array_equal(image_set.images_NHW, np.stack([seen_by_predict(path) for path in paths]))


def load_quietly(folder: Path) -> tuple[data.ImageSet, data.ImageSet]:
    """Both splits of a set of which nothing is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        return data.load(str(folder), "train"), data.load(str(folder), "test")


def put_idx(folder: Path, suffix: str = ".gz", *, dot: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for role in idx.ROLES:
        num = 4 if role.startswith("train") else 2
        array = np.full((num, 28, 28), num, np.uint8) if role.endswith("images") else np.arange(num, dtype=np.uint8)
        name = idx.file_names(role)[2 if dot else 0].removesuffix(".gz") + suffix
        (folder / name).write_bytes(idx.encode(array))


@pytest.mark.parametrize("suffix, dot", [(".gz", False), ("", False), (".gz", True), ("", True)])
def test_four_idx_files(tmp_path, suffix, dot):
    put_idx(tmp_path, suffix, dot=dot)
    train, test = (data.load(str(tmp_path), split) for split in ("train", "test"))
    assert (train.name, len(train), test.images_NHW[:, 0, 0].tolist()) == (str(tmp_path), 4, [2, 2])
    assert train.classes == tuple("0123456789")
    put_idx(tmp_path, ".gz")
    assert data.load(str(tmp_path), "train").sha256 == train.sha256


@pytest.mark.parametrize("typed", ["./digits", "digits/", "~/digits", "../here/digits", "link", "here/../digits"])
def test_a_folder_is_known_by_its_absolute_path_however_it_is_named(tmp_path, monkeypatch, typed):
    here = tmp_path / "here"
    put_idx(here / "digits")
    (here / "here").mkdir()
    (here / "link").symlink_to("digits")
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("USERPROFILE", str(here))
    assert data.load(typed, "train").name == data.locate(typed) == str((here / "digits").resolve())
    assert data.locate("digits") == "digits", "the known set, whatever lies here"


def test_a_set_is_found_again_by_its_digest(tmp_path):
    put_idx(tmp_path / "digits")
    train = data.load(str(tmp_path / "digits"), "train")
    origin = data.Origin(train.name, train.sha256)
    assert (len(origin.load("train")), len(origin.load("test"))) == (4, 2)
    known = re.escape(f"data digits ({train.name}): ")
    put_idx(tmp_path / "digits", ".gz")
    (tmp_path / "digits/train-labels-idx1-ubyte.gz").write_bytes(idx.encode(np.zeros(4, np.uint8)))
    changed = data.load(train.name, "train").sha256[:16]
    with pytest.raises(TinydigitsError, match=f"{known}has other .*{changed}.*{train.sha256[:16]}(.|\n)*--data FOLDER"):
        origin.load("test")
    shutil.rmtree(tmp_path / "digits")
    with pytest.raises(TinydigitsError, match=f"{known}is not there, .*{train.sha256[:16]}"):
        origin.load("test")
    for elsewhere in (r"C:\Users\me\digits", "letters"):  # another machine's folder, and what earlier versions recorded
        with pytest.raises(TinydigitsError, match="is not there, expected training images of SHA-256 ab"):
            data.Origin(elsewhere, "ab").load("test")
    with pytest.raises(TinydigitsError, match="data digits: has other training images"):
        data.Origin("digits", train.sha256).load("test")


@pytest.mark.parametrize("role", idx.ROLES)
def test_three_idx_files_are_not_a_set(tmp_path, role):
    put_idx(tmp_path)
    (tmp_path / idx.file_names(role)[0]).unlink()
    for split in ("train", "test"):
        with pytest.raises(TinydigitsError, match=f"no {role}-idx.-ubyte.gz, expected four IDX files"):
            data.load(str(tmp_path), split)


def test_idx_labels_are_0_to_9(tmp_path):
    put_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(idx.encode(np.array([1, 2, 3, 10], np.uint8)))
    with pytest.raises(TinydigitsError, match=r"train-labels-idx1-ubyte.gz: got label 10"):
        data.load(str(tmp_path), "train")


@pytest.mark.parametrize(
    "train, test",
    [("train", "test"), ("Train", "Test"), ("training", "testing"), ("TRAIN", "eval"), ("train", "Evaluation")],
)
def test_a_folder_for_each_split_and_class(tmp_path, train, test):
    paths = {split: [draw(tmp_path / split / name / f"{i}.png") for name in ("1", "2", "10") for i in (1, 9, 10)]
             for split in (train, test)}  # fmt: skip
    of_train, of_test = load_quietly(tmp_path)
    assert of_train.classes == of_test.classes == ("1", "2", "10"), "in natural order"
    assert of_train.labels_N.tolist() == of_test.labels_N.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert same(of_train, paths[train]) and same(of_test, paths[test])


def test_a_folder_for_each_class_keeps_every_sixth_picture_for_testing(tmp_path):
    paths = [draw(tmp_path / name / f"{i}.png") for name in ("cat", "dog") for i in range(13)]
    train, test = load_quietly(tmp_path)
    assert same(test, [paths[i] for i in (5, 11, 18, 24)]) and test.labels_N.tolist() == [0, 0, 1, 1]
    assert same(train, [path for i, path in enumerate(paths) if i not in (5, 11, 18, 24)])


def test_without_a_test_folder_every_sixth_training_picture_is_for_testing(tmp_path):
    paths = [draw(tmp_path / "train" / name / f"{i}.png") for name in "ab" for i in range(6)]
    for name in "ab":
        draw(tmp_path / "Val" / name / "0.png")
    says = r"no test folder: every 6th picture of train/ is for testing"
    with pytest.warns(DataWarning, match=rf"{says}.*Val/ is not used"):
        assert same(data.load(str(tmp_path), "train"), paths[:5] + paths[6:11])
    with pytest.warns(DataWarning, match=says):
        assert same(data.load(str(tmp_path), "test"), [paths[5], paths[11]])


def test_a_class_may_have_folders_within(tmp_path):
    paths = [draw(tmp_path / split / name / part / "1.png")
             for split in ("train", "test") for name in "ab" for part in ("", "monday/pm")]  # fmt: skip
    train, test = load_quietly(tmp_path)
    assert same(train, paths[:4]) and same(test, paths[4:])


def test_what_systems_leave_behind_is_passed_over(tmp_path):
    for split in ("train", "test"):
        for name in "ab":
            draw(tmp_path / split / name / "0.png")
            draw(tmp_path / split / name / ".ipynb_checkpoints" / "0-checkpoint.png")
            for clutter in ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
                (tmp_path / split / name / clutter).write_text("left behind")
        (tmp_path / split / ".cache").mkdir()
    draw(tmp_path / "__MACOSX" / "train" / "a" / "0.png")
    train, test = load_quietly(tmp_path)
    assert (train.labels_N.tolist(), test.labels_N.tolist()) == ([0, 1], [0, 1])
    assert prediction.pictures_in(str(tmp_path / "test")) == [str(tmp_path / "test" / name / "0.png") for name in "ab"]


@pytest.fixture
def two_classes(tmp_path):
    """A set of two pictures a split, one for each class."""
    for path in ("train/a", "train/b", "test/a", "test/b"):
        draw(tmp_path / path / "1.png")
    return tmp_path


def test_every_file_that_predict_reads_is_trained_on(two_classes):
    a = two_classes / "train" / "a"
    gray = scribble("gray")
    paths = [
        draw(a / "2.png", dark=False), draw(a / "3.png", dark=False, size=(28, 28)), draw(a / "4.png", size=(28, 28)),
        draw(a / "5.jfif", format="JPEG"), draw(a / "6.PPM"), draw(a / "7.tif"), draw(a / "8.webp"), draw(a / "9.bmp"),
    ]  # fmt: skip
    pen = Image.new("LA", gray.size)
    pen.putalpha(Image.eval(gray, lambda level: 255 - level))  # black on nothing
    blue = Image.merge("RGB", [Image.new("L", gray.size)] * 2 + [scribble("gray", dark=False)])
    modes = [gray.convert("1"), gray.convert("P"), gray.convert("I;16"), pen, pen.convert("RGBA"), blue]
    for number, image in enumerate([*modes, gray.convert("RGB").convert("CMYK")], 10):
        paths.append(a / f"{number}.tiff")
        image.save(paths[-1])
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned clockwise by a quarter
    paths.append(a / "20.jpg")
    gray.rotate(90, expand=True).save(paths[-1], exif=turned, quality=95)
    train, _ = load_quietly(two_classes)
    assert same(train, [a / "1.png", *paths, two_classes / "train" / "b" / "1.png"])
    expected = seen_by_predict(paths[8]).astype(float)  # of one drawing in all modes, and of the camera's
    for image_HW in train.images_NHW[9:17]:
        assert np.corrcoef(image_HW.ravel(), expected.ravel())[0, 1] > 0.9
    assert all(image_HW[0].max() == 0 and image_HW.max() > 200 for image_HW in train.images_NHW), "bright on a dark rim"


def test_a_picture_without_ink_is_blank_and_named(two_classes):
    Image.new("L", (50, 50), 255).save(two_classes / "train" / "a" / "0.png")
    with pytest.warns(DataWarning, match=r"train: nothing is written in train/a/0\.png: taken as blank$"):
        train = data.load(str(two_classes), "train")
    assert [bool(image_HW.any()) for image_HW in train.images_NHW] == [False, True, True]


def claims_to_be_large(side: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


UNREADABLE = {
    "empty": (lambda _: b"", "is empty"),
    "text": (lambda _: b"not a picture", "not a picture that can be read"),
    "cut": (lambda png: png[: len(png) // 2], "cannot be read"),
    "flipped": (lambda png: png[:60] + bytes([255 - b for b in png[60:90]]) + png[90:], "cannot be read"),
    "a program": (lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not a picture"),
    "a large one": (lambda _: claims_to_be_large(8_000), "got 8000×8000, expected at most 50,000,000 pixels"),
    "a bomb": (lambda _: claims_to_be_large(60_000), "cannot be read"),
}


@pytest.mark.parametrize("damage, reason", UNREADABLE.values(), ids=UNREADABLE)
def test_a_picture_that_cannot_be_read_is_left_out_and_named(two_classes, damage, reason):
    path = two_classes / "train" / "a" / "0.png"
    noise = np.random.default_rng(0).integers(0, 256, (50, 50)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(damage(path.read_bytes()))
    says = rf"train: 1 picture cannot be read and left out \(train/a/0\.png: {reason}"
    with pytest.warns(DataWarning, match=says):
        assert data.load(str(two_classes), "train").labels_N.tolist() == [0, 1]
    (two_classes / "train" / "a" / "1.png").unlink()
    with pytest.raises(TinydigitsError, match=rf"train/a: no picture that can be read; train/a/0\.png: .*{reason}"):
        data.load(str(two_classes), "train")


def test_all_that_is_left_out_is_counted_in_one_line(two_classes):
    for name in ("1.heic", "2.HEIC", "3.npy", "4.avif", "5.txt", "no_suffix"):
        (two_classes / "test" / "a" / name).write_bytes(b"not read")
    for name in ("d", "e"):
        (two_classes / "train" / name).mkdir()
    (two_classes / "test" / "b" / "lost.png").symlink_to("nowhere.png")
    draw(two_classes / "test" / "loose.png")
    draw(two_classes / "valid" / "a" / "0.png")
    draw(two_classes / "unsorted" / "0.png")
    with pytest.warns(DataWarning) as caught:
        data.load(str(two_classes), "train")
        test = data.load(str(two_classes), "test")
    assert [str(one.message).removeprefix(f"{two_classes}: ") for one in caught] == [
        "train: no training pictures of d, e: no class of the set; "
        "valid/ is not used: data.validation holds out pictures of train/; beside train/ and not used: unsorted",
        "test: no training pictures of d, e: no class of the set; "
        "left out 2 .heic, 1 .avif, 1 .npy, 3 more kinds; 1 picture cannot be read and left out "
        "(test/b/lost.png: no such file)",
    ]  # fmt: skip
    assert test.classes == ("a", "b") and len(test) == 2


def test_a_class_without_test_pictures_is_named(two_classes):
    draw(two_classes / "train" / "c" / "0.png")
    for split in ("train", "test"):
        with pytest.warns(DataWarning, match=f"{split}: no test pictures of c$"):
            assert data.load(str(two_classes), split).classes == ("a", "b", "c")


REFUSED = {
    "no folders": ([], r"own: got 0 folders with pictures, expected 2 to 256, one for each class"),
    "no pictures": (["a/1.heic", "b/1.npy"], r"own: got 0 folders with pictures; left out 1 .heic, 1 .npy, expected 2"),
    "one class": (["train/a/1.png", "test/a/1.png"], r"own/train: got 1 folder with pictures \(a\), expected 2 to 256"),
    "257 classes": ([f"{i}/1.png" for i in range(257)], "got 257 folders with pictures, expected 2 to 256"),
    "one folder around": (["set/a/1.png", "set/b/1.png"], r"got 1 folder with pictures \(set\)(.|\n)*folder .*/set$"),
    "no classes": (["train/1.png", "test/1.png"], r"own: got test/ without train/<class>/, expected train/<class>/"),
    "test alone": (["a/1.png", "b/1.png", "Test/a/1.png"], r"own: got Test/ without train/<class>/"),
    "two for testing": (["train/a/1.png", "test/a/1.png", "eval/a/1.png"], r"own: got eval/ and test/, expected one"),
    "splits within": (["a/train/1.png", "a/test/1.png", "b/train/1.png"], r"own/a/t.*: a split within a class"),
    "no test class": (["train/a/1.png", "train/b/1.png", "test/c/1.png"], r"test/c: a class without training p"),
    "no test pictures": (["train/a/1.png", "train/b/1.png", "test/a/1.npy"], r"own/test: got no pictures; left out 1"),
    "too few to keep a sixth": ([f"{name}/{i}.png" for name in "ab" for i in range(5)],
                                r"own/a: got 5 pictures, expected at least 6(.|\n)*train/<class>/"),
}  # fmt: skip


@pytest.mark.parametrize("files, says", REFUSED.values(), ids=REFUSED)
def test_what_is_no_set_is_refused_by_name(tmp_path, files, says):
    (tmp_path / "own").mkdir()
    for file in files:
        path = tmp_path / "own" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    for split in ("train", "test"):
        with pytest.raises(TinydigitsError, match=says):
            data.load(str(tmp_path / "own"), split)


def test_a_class_may_be_called_train(tmp_path):
    for name in ("car", "train"):
        for i in range(6):
            draw(tmp_path / name / f"{i}.png")
    assert load_quietly(tmp_path)[0].classes == ("car", "train")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(TinydigitsError, match="nowhere: got no folder"):
        data.load(str(tmp_path / "nowhere"), "train")
