"""A user's own set in a folder: four IDX files, or one folder of pictures for each class.

    own/train-images-idx3-ubyte[.gz] …  own/t10k-labels-idx1-ubyte[.gz]     labels 0 to 9
    own/train/<class>/…                 own/test/<class>/…
    own/<class>/…                       of each class, in natural order, every sixth picture is test

`train` may be called `training`, and `test` `testing`, `eval` or `evaluation`, in any case. Without a test folder every
sixth picture of `train` is test, as in the last layout. A folder of validation pictures is not used. A class's pictures
may lie in folders of their own. Classes are in natural order (2 before 10).

Every picture becomes 28×28 grey levels by the steps of `picture/`, as `tinydigits predict` takes them, whatever its
size: training, verifying and predicting see the same pixels. Where nothing is written, all are 0. Shape suffixes: N
images, H rows, W columns.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from tinydigits.data import idx
from tinydigits.data.image_set import ImageSet
from tinydigits.data.picture import SUFFIXES, files_below, find_digits, is_clutter, read_picture
from tinydigits.errors import DataWarning, TinydigitsError, first_line
from tinydigits.figures import count_of

__all__ = ["load_folder"]

_TEST_SHARE = 6  # one picture of so many, where the user did not choose
_MAX_CLASSES = 256  # labels are bytes
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_LAYOUT = "train/<class>/… and test/<class>/…"
_SHOWN = 3  # names in a sentence

_Pictures = dict[str, list[Path]]
"""The pictures of each class, by its name; classes and pictures are in natural order."""


def load_folder(folder: Path, split: str) -> ImageSet:
    """Load the "train" or "test" split of a set in a folder, laid out in one of the ways above.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("cat", "dog"):
    ...         Path(root, name).mkdir()
    ...         for i in range(6):
    ...             Image.linear_gradient("L").save(Path(root, name, f"{i}.png"))
    ...     load_folder(Path(root), "train").classes, len(load_folder(Path(root), "test"))
    (('cat', 'dog'), 2)

    Warns of what is left out or missing: files that cannot be read, classes without pictures. Raises TinydigitsError,
    with the file's or folder's name, for a set that is incomplete or in no layout of these.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise TinydigitsError(folder, got="no folder", expected="a folder with four IDX files or with a folder a class")
    name = str(folder.resolve())
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
    images_NHW, labels_N = idx.read_pair(*(paths[role] for role in idx.SPLITS[split]), num_classes=10)
    return ImageSet(name, split, images_NHW, labels_N, tuple("0123456789"))


def _load_images(folder: Path, name: str, split: str) -> ImageSet:
    pictures, notes = _find_pictures(folder, split)
    images: list[np.ndarray] = []
    labels: list[int] = []
    unreadable: list[str] = []
    blank: list[Path] = []
    for label, paths in enumerate(pictures.values()):
        for path in paths:
            try:
                image_HW = _prepare(path, _version(path))
            except TinydigitsError as error:
                unreadable.append(first_line(error).removeprefix(f"{folder}/"))
                continue
            images.append(image_HW)
            labels.append(label)
            if not image_HW.any():
                blank.append(path)
        if paths and label not in labels:
            raise TinydigitsError(paths[0].parent, f"no picture that can be read; {unreadable[-1]}")
    if unreadable:
        notes.append(f"{count_of(len(unreadable), 'picture')} cannot be read and left out ({_some(unreadable)})")
    if blank:
        names = [str(path.relative_to(folder)) for path in blank]
        notes.append(f"nothing is written in {_some(names)}: taken as blank")
    if notes:
        warnings.warn(f"{folder}: {split}: {'; '.join(notes)}", DataWarning, stacklevel=3)
    return ImageSet(name, split, np.stack(images), np.array(labels, dtype=np.uint8), tuple(pictures))


@cache  # an export reads a set once a format
def _prepare(path: Path, version: object) -> np.ndarray:
    """The 28×28 that `predict` sees; `version` differs where the file has changed."""
    digits = find_digits(read_picture(path).pixels_HW4)
    return digits[0].image_HW if digits else np.zeros((28, 28), dtype=np.uint8)


def _version(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None  # which reading will explain
    return status.st_mtime_ns, status.st_size, status.st_ino


def _find_pictures(folder: Path, split: str) -> tuple[_Pictures, list[str]]:
    """The pictures of a split, with all classes, and what of the folder is not in it, in words."""
    splits = _split_folders(folder)
    root = splits.get("train", folder)
    train, left_out = _list(root)
    classes = [name for name, paths in train.items() if paths]
    if not 2 <= len(classes) <= _MAX_CLASSES:
        only = root / classes[0] if len(classes) == 1 else None
        got = count_of(len(classes), "folder") + " with pictures" + (f" ({only.name})" if only else "")
        raise TinydigitsError(
            root, got="; left out ".join([got, *_counts(left_out)]),
            expected=f"2 to {_MAX_CLASSES}, one for each class (or four IDX files)",
            hint=f"the folder {only}" if only and len(_folders(only)) > 1 else "",
        )  # fmt: skip
    notes = []
    if empty := [name for name in train if not train[name]]:
        notes.append(f"no training pictures of {_some(empty)}: no class of the set")
    if "test" in splits:
        test, left_out_of_test = _list(splits["test"])
        left_out = left_out if split == "train" else left_out_of_test
        for name in test:
            if test[name] and name not in classes:
                raise TinydigitsError(splits["test"] / name, "a class without training pictures")
        if not any(test.values()):
            raise TinydigitsError(
                splits["test"], got="; left out ".join(["no pictures", *_counts(left_out_of_test)]),
                expected="at least one in a folder of its class",
                hint=f"without a test folder every {_TEST_SHARE}th training picture is for testing",
            )  # fmt: skip
        if missing := [name for name in classes if not test.get(name)]:
            notes.append(f"no test pictures of {_some(missing)}")
    else:
        if splits:
            notes.append(f"no test folder: every {_TEST_SHARE}th picture of {root.name}/ is for testing, not training")
        train, test = _keep_for_testing(root, {name: train[name] for name in classes})
    notes += [f"left out {words}" for words in _counts(left_out)]
    if split == "train" and splits:
        if "validation" in splits:
            unused = splits["validation"].name
            notes.append(f"{unused}/ is not used: data.validation holds out pictures of {root.name}/")
        if others := [path.name for path in _folders(folder) if path not in splits.values()]:
            notes.append(f"beside {root.name}/ and not used: {_some(others)}")
    return {name: (train if split == "train" else test).get(name, []) for name in classes}, notes


def _split_folders(folder: Path) -> dict[str, Path]:
    """The folders of a set's splits, "train" among them; none where its folders are classes."""
    by_role: dict[str, Path] = {}
    for path in _folders(folder):
        role = _SPLITS.get(path.name.lower())
        if role in by_role:
            got = f"{by_role[role].name}/ and {path.name}/"
            raise TinydigitsError(folder, got=got, expected=f"one folder for {role}")
        if role:
            by_role[role] = path
    if "train" in by_role and _folders(by_role["train"]):
        return by_role
    others = [path for role, path in by_role.items() if role != "train"]  # "train" alone is a class: of vehicles, say
    if others:
        raise TinydigitsError(folder, got=f"{others[0].name}/ without train/<class>/", expected=_LAYOUT)
    return {}


def _keep_for_testing(root: Path, pictures: _Pictures) -> tuple[_Pictures, _Pictures]:
    """Divide the pictures of each class into (train, test)."""
    for name, paths in pictures.items():
        if len(paths) < _TEST_SHARE:
            raise TinydigitsError(
                root / name, got=count_of(len(paths), "picture"),
                expected=f"at least {_TEST_SHARE}, to keep one in {_TEST_SHARE} for testing",
                hint=f"lay the pictures out as {_LAYOUT}",
            )  # fmt: skip
    test = {name: paths[_TEST_SHARE - 1 :: _TEST_SHARE] for name, paths in pictures.items()}
    train = {name: [path for i, path in enumerate(paths, 1) if i % _TEST_SHARE] for name, paths in pictures.items()}
    return train, test


def _list(root: Path) -> tuple[_Pictures, Counter[str]]:
    """The pictures in each folder of a root and below it, and how many other files there are, by kind."""
    pictures: _Pictures = {}
    left_out: Counter[str] = Counter()
    for folder in _folders(root):
        paths: list[tuple[str, Path]] = []
        for path in files_below(folder):
            within = path.relative_to(folder)
            if any(part.lower() in _SPLITS for part in within.parts[:-1]):
                raise TinydigitsError(path.parent, "a split within a class", expected=_LAYOUT)
            if path.suffix.lower() in SUFFIXES:
                paths.append((within.as_posix(), path))
            else:
                left_out[path.suffix.lower() or "without a suffix"] += 1
        pictures[folder.name] = [path for _, path in sorted(paths, key=lambda pair: _natural(pair[0]))]
    loose = [path for path in root.iterdir() if path.is_file() and not is_clutter(path.name)]
    left_out["outside the class folders"] = sum(path.suffix.lower() in SUFFIXES for path in loose)
    return pictures, +left_out  # without kinds of which there are none


def _folders(root: Path) -> list[Path]:
    folders = [path for path in root.iterdir() if path.is_dir() and not is_clutter(path.name)]
    return sorted(folders, key=lambda path: _natural(path.name))


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Digits compare as numbers: "2" before "10". The name itself decides between "01" and "1"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)], name


def _counts(left_out: Counter[str]) -> list[str]:
    ordered = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return [_some([f"{number} {kind}" for kind, number in ordered], "kinds")] if left_out else []


def _some(words: Sequence[str], noun: str = "") -> str:
    more = [f"{len(words) - _SHOWN} more {noun}".rstrip()] if len(words) > _SHOWN else []
    return ", ".join([*words[:_SHOWN], *more])
