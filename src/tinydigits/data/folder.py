"""A user's own set in a folder: four IDX files, or one folder of images for each class.

    own/train-images-idx3-ubyte[.gz] …  own/t10k-labels-idx1-ubyte[.gz]     labels 0 to 9
    own/train/<class>/*.png             own/test/<class>/*.png
    own/<class>/*.png                   of each class, in natural order, every sixth image is test

An image of 28×28 pixels is taken as it is; any other is brought to MNIST's geometry (`geometry.py`), so its ink must be
bright on black. Colours become grey levels first (ITU-R 601 luma; what is transparent counts as black). Classes are
in natural order (2 before 10). Shape suffixes: N images, H rows, W columns.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from tinydigits.data import idx
from tinydigits.data.geometry import to_mnist_geometry
from tinydigits.data.image_set import ImageSet, every_nth
from tinydigits.errors import TinydigitsError

__all__ = ["load_folder"]

MAX_PIXELS = 50_000_000  # a large photograph; what claims more is a decompression bomb

_TEST_SHARE = 6  # one image of so many, where the user did not choose
_MAX_CLASSES = 256  # labels are bytes
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm"}
# Named, because Pillow's other readers start programs (EPS) or are rarely looked at.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def load_folder(folder: Path, split: str) -> ImageSet:
    """Load the "train" or "test" split of a set in a folder, laid out in one of the three ways above.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("cat", "dog"):
    ...         Path(root, name).mkdir()
    ...         for i in range(6):
    ...             Image.new("L", (28, 28), 10 * i).save(Path(root, name, f"{i}.png"))
    ...     load_folder(Path(root), "train").classes, len(load_folder(Path(root), "test"))
    (('cat', 'dog'), 2)

    Raises TinydigitsError, with the file's or folder's name, when the set is incomplete or a file cannot be read.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise TinydigitsError(folder, got="no folder", expected="a folder with four IDX files or with a folder a class")
    name = folder.resolve().name
    if any((folder / file).is_file() for role in idx.ROLES for file in idx.file_names(role)):
        return _load_idx(folder, name, split)
    return _load_images(folder, name, split)


def _load_idx(folder: Path, name: str, split: str) -> ImageSet:
    paths = {}
    for role in idx.ROLES:
        present = [folder / file for file in idx.file_names(role) if (folder / file).is_file()]
        if not present:
            raise TinydigitsError(folder, f"no {idx.file_names(role)[0]}", expected="four IDX files, plain or .gz")
        paths[role] = present[0]
    prefix = {"train": "train", "test": "t10k"}[split]
    images_NHW, labels_N = idx.read_pair(paths[f"{prefix}-images"], paths[f"{prefix}-labels"], num_classes=10)
    return ImageSet(name, split, images_NHW, labels_N, tuple("0123456789"))


def _load_images(folder: Path, name: str, split: str) -> ImageSet:
    is_split = (folder / "train").is_dir() and (folder / "test").is_dir()
    root = folder / "train" if is_split else folder
    classes = _classes(root)
    if not is_split:
        paths, labels_N = _list(root, classes)
        few = np.flatnonzero(np.bincount(labels_N, minlength=len(classes)) < _TEST_SHARE)
        if len(few):
            raise TinydigitsError(
                root / classes[few[0]],
                got=f"{(labels_N == few[0]).sum()} images",
                expected=f"at least {_TEST_SHARE}, to keep one in {_TEST_SHARE} for testing",
                hint="lay the images out as train/<class>/ and test/<class>/",
            )
        is_in_N = every_nth(labels_N, _TEST_SHARE) == (split == "test")
        paths, labels_N = [path for path, is_in in zip(paths, is_in_N, strict=True) if is_in], labels_N[is_in_N]
    else:
        strange = sorted(set(_classes(folder / "test")) - set(classes))
        if strange:
            raise TinydigitsError(folder / "test" / strange[0], "a class without training images")
        paths, labels_N = _list(folder / split, classes)
    if not paths:
        raise TinydigitsError(folder / split, got="no images", expected="at least one in a folder of its class")
    return ImageSet(name, split, np.stack([_read_image(path) for path in paths]), labels_N, classes)


def _classes(root: Path) -> tuple[str, ...]:
    names = [path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    if not 2 <= len(names) <= _MAX_CLASSES:
        raise TinydigitsError(
            root, got=f"{len(names)} folders", expected=f"2 to {_MAX_CLASSES}, one for each class (or four IDX files)"
        )
    return tuple(sorted(names, key=_natural))


def _list(root: Path, classes: tuple[str, ...]) -> tuple[list[Path], np.ndarray]:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        images = [path for path in (root / name).glob("*") if path.suffix.lower() in _SUFFIXES and path.name[0] != "."]
        paths += sorted(images, key=lambda path: _natural(path.name))
        labels += [label] * len(images)
    return paths, np.array(labels, dtype=np.uint8)


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Digits compare as numbers: "2" before "10". The name itself decides between "01" and "1"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)], name


def _read_image(path: Path) -> np.ndarray:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is stricter
            with Image.open(path, formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:  # known from the header, before any pixel is unpacked
                    raise TinydigitsError(
                        path, got=f"{image.width}×{image.height} pixels", expected=f"at most {MAX_PIXELS}"
                    )
                gray_HW = _to_gray(image)
    except Image.DecompressionBombError as error:
        raise TinydigitsError(path, "too many pixels", expected=f"at most {MAX_PIXELS}") from error
    except UnidentifiedImageError as error:
        raise TinydigitsError(path, "not an image", expected=", ".join(_FORMATS)) from error
    except TinydigitsError:
        raise
    except Exception as error:  # Pillow's readers let out whatever a damaged file makes them stumble over
        raise TinydigitsError(path, f"cannot be read as an image ({error})") from error
    return gray_HW if gray_HW.shape == (28, 28) else to_mnist_geometry(gray_HW)


def _to_gray(image) -> np.ndarray:  # type: ignore[no-untyped-def]
    """uint8 (H, W)."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would cut them off at 255
        return (np.asarray(image, dtype=np.int64).clip(0, 65_535) // 257).astype(np.uint8)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    return np.array(image.convert("L"))
