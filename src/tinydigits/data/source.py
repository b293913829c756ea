"""What a data source is: its facts, and the few things it can be asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

__all__ = ["Source", "SourceInfo"]


@dataclass(frozen=True)
class SourceInfo:
    """The facts about a source, known without touching its data.

    >>> SourceInfo("tiny", "Tiny", num_train=4, num_test=2, classes=("a", "b"), licence="CC0", homepage="").classes
    ('a', 'b')
    """

    name: str
    title: str
    num_train: int
    num_test: int
    classes: tuple[str, ...]
    licence: str
    homepage: str
    mirrors: tuple[str, ...] = ()


class Source(ABC):
    """A data set with a name, see `sources/`; subclasses are final."""

    info: SourceInfo

    @abstractmethod
    def at_hand(self) -> str | None:
        """Where the whole set lies on this machine, or None when it would have to be downloaded."""

    @abstractmethod
    def read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The images, uint8 (N, 28, 28), and labels, uint8 (N,), of "train" or "test"."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """The four IDX files, gzipped or plain, by the names that they should be saved under."""
