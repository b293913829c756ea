"""Images and labels: named sources, a user's own folders, and MNIST's geometry. NumPy only; torch is never imported.

>>> from tinydigits import data
>>> test = data.load("digits", "test")
>>> len(test), test.images_NHW.shape, test.classes[:3]
(596, (596, 28, 28), ('0', '1', '2'))

`TINYDIGITS_DATA` names a folder with the original files, or with one folder of them for each set (`originals.py`);
`TINYDIGITS_CACHE` and `TINYDIGITS_MIRRORS` say where downloads go and come from (`download.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinydigits.data import memory, sources
from tinydigits.data.folder import load_folder
from tinydigits.data.geometry import to_mnist_geometry
from tinydigits.data.image_set import ImageSet, hold_out
from tinydigits.data.source import SourceInfo
from tinydigits.errors import TinydigitsError
from tinydigits.text import source_label

__all__ = [
    "ImageSet",
    "Origin",
    "SourceInfo",
    "at_hand",
    "copy_files",
    "describe",
    "hold_out",
    "load",
    "locate",
    "names",
    "to_mnist_geometry",
]


def names() -> list[str]:
    """The names of all sources.

    >>> names()
    ['digits', 'fashion-mnist', 'kmnist', 'mnist']
    """
    return sources.names()


def describe(name: str) -> SourceInfo:
    """The facts about a source: sizes, classes, licence, homepage, mirrors.

    >>> describe("fashion-mnist").licence
    'MIT'

    Raises TinydigitsError, with near matches, for an unknown name.
    """
    return sources.get(name).info


def at_hand(name: str) -> str | None:
    """Where a source lies on this machine, each file checked by its hash, or None when it must be downloaded.

    >>> at_hand("digits")
    'bundled with scikit-learn'

    Raises TinydigitsError for an unknown name, and for a damaged file in a folder that the user named.
    """
    return sources.get(name).at_hand()


def load(source: str, split: str) -> ImageSet:
    """Load the "train" or "test" split of a named source, or of a folder (`folder.py` says how it is laid out).

    >>> load("digits", "train").labels_N[:5]
    array([0, 1, 2, 3, 4], dtype=uint8)

    A name goes before a folder of the same name; `./mnist` is the folder. Raises DataUnavailable when the set is not on
    this machine and cannot be downloaded; TinydigitsError for an unknown name or split and for damaged files.
    """
    if split not in ("train", "test"):
        raise TinydigitsError(f"data {source}", got=f"split {split!r}", expected="'train' or 'test'")
    if source.startswith(memory.PREFIX):
        images = memory.held(source, split)
        if images is None:
            raise TinydigitsError(f"data {source}", f"was given no {split} images", hint=f"{split}=(images, labels)")
        return images
    if source not in sources.names() and _is_path(source):
        return load_folder(Path(source), split)
    data_source = sources.get(source)
    images_NHW, labels_N = data_source.read(split)
    expected = data_source.info.num_train if split == "train" else data_source.info.num_test
    if len(labels_N) != expected:
        raise TinydigitsError(f"{source} {split}", got=f"{len(labels_N)} images", expected=expected)
    return ImageSet(source, split, images_NHW, labels_N, data_source.info.classes)


def locate(source: str) -> str:
    """A source as it is found again from anywhere: a known name as it is, a folder by its absolute path.

    >>> locate("mnist"), Path(locate("./mnist")).is_absolute()
    ('mnist', True)
    """
    if source in sources.names() or not _is_path(source):
        return source
    return str(Path(source).expanduser().resolve())


@dataclass(frozen=True)
class Origin:
    """The data set that something was made from, known by its training images and not by its name.

    >>> Origin("digits", load("digits", "train").sha256).load("test").split
    'test'

    `source` is a known name or a folder, `train_sha256` the digest of the training images, empty where no record has
    it.
    """

    source: str
    train_sha256: str = ""

    def load(self, split: str, read: Callable[[str, str], ImageSet] | None = None) -> ImageSet:
        """The "train" or "test" split, read by `read` in place of `data.load`.

        Raises TinydigitsError, with the folder and both digests, where the training images are gone or are others than
        they were; otherwise as `load` does.
        """
        read = read or load
        if not self.train_sha256:
            return read(self.source, split)
        where, expected = f"data {source_label(self.source)}", f"training images of SHA-256 {self.train_sha256[:16]}…"
        hint = "put the images back, or name the folder that has them: --data FOLDER"
        try:
            train = read(self.source, "train")
        except TinydigitsError as error:
            if self.source in sources.names() or self.source.startswith(memory.PREFIX) or _is_folder(self.source):
                raise
            raise TinydigitsError(where, "is not there", expected=expected, hint=hint) from error
        if train.sha256 != self.train_sha256:
            problem = "has other training images than before"
            raise TinydigitsError(where, problem, got=f"SHA-256 {train.sha256[:16]}…", expected=expected, hint=hint)
        return train if split == "train" else read(self.source, split)


def copy_files(name: str, folder: Path) -> list[Path]:
    """Copy the four IDX files of a source into a folder, made if needed; the paths written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in copy_files("digits", Path(folder))][:2]
    ['train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz']

    A file that is there already with other content is left as it is, and nothing is copied: TinydigitsError. Raises
    DataUnavailable as `load` does.
    """
    contents = sources.get(name).files()
    paths = {Path(folder) / file: content for file, content in contents.items()}
    for path, content in paths.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            raise TinydigitsError(path, "exists already, with other content", hint="another folder")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, content in paths.items():
            if not path.exists():  # else it has this very content, which a full disk would cut short
                path.write_bytes(content)
    except OSError as error:
        raise TinydigitsError(folder, f"cannot be written ({error.strerror or error})") from error
    return list(paths)


def _is_path(source: str) -> bool:
    return source.startswith((".", "~")) or "/" in source or "\\" in source or _is_folder(source)


def _is_folder(source: str) -> bool:
    return Path(source).expanduser().is_dir()
