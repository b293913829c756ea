"""scikit-learn's bundled digits: 1,797 real ones of 8×8, brought to MNIST's geometry. Needs no network.

The set has no official split. Here it is fixed: of each class, in scikit-learn's order, every third image is test
(596 images) and the others are train (1,201).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import final

import numpy as np

from tinydigits.data import idx
from tinydigits.data.geometry import to_mnist_geometry
from tinydigits.data.image_set import every_nth
from tinydigits.data.source import Source, SourceInfo
from tinydigits.errors import DataUnavailable

__all__ = ["source"]


@final
@dataclass(frozen=True)
class BundledDigits(Source):
    """The digits that come with scikit-learn."""

    info: SourceInfo

    def at_hand(self) -> str | None:
        return "bundled with scikit-learn" if _bundled_file() else None

    def read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        images_NHW, labels_N = _read_bundled()
        is_split_N = every_nth(labels_N, 3) == (split == "test")
        # 0…16 grey levels → 0…255, rounded
        drawings_NHW = ((images_NHW[is_split_N] * 255 + 8) // 16).astype(np.uint8)
        return np.stack([to_mnist_geometry(drawing_HW) for drawing_HW in drawings_NHW]), labels_N[is_split_N]

    def files(self) -> dict[str, bytes]:
        contents = {}
        for split, roles in idx.SPLITS.items():
            for role, array in zip(roles, self.read(split), strict=True):
                contents[idx.file_names(role)[0]] = idx.encode(array, packed=True)
        return contents


def _bundled_file() -> Path | None:
    """The file that `sklearn.datasets.load_digits` reads; importing sklearn for it takes over a second."""
    spec = find_spec("sklearn")
    folders = spec.submodule_search_locations if spec else None
    path = Path(folders[0], "datasets", "data", "digits.csv.gz") if folders else None
    return path if path and path.is_file() else None


def _read_bundled() -> tuple[np.ndarray, np.ndarray]:
    path = _bundled_file()
    if not path:
        raise DataUnavailable("digits", "not found in scikit-learn", expected="scikit-learn ≥ 1.5, installed as usual")
    rows = np.loadtxt(path, delimiter=",", dtype=np.int64)
    return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.uint8)


source = BundledDigits(
    SourceInfo(
        name="digits",
        title="Optical recognition of handwritten digits (Alpaydin, Kaynak 1998), 8×8 brought to 28×28",
        num_train=1_201,
        num_test=596,
        classes=tuple("0123456789"),
        licence="CC BY 4.0",
        homepage="https://archive.ics.uci.edu/dataset/80",
    )
)
