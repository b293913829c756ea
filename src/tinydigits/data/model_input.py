"""How a model takes its images: one rule from 28×28 grey levels to whatever size, channels and range it wants.

Shapes: B images a batch, C channels, H × W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tinydigits.errors import TinydigitsError

__all__ = ["Levels", "ModelInput", "levels_of_range", "parse_levels"]

Levels = float | tuple[float, ...]
"""One number for all channels, or one for each."""


@dataclass(frozen=True)
class ModelInput:
    """The shape of one input without the batch, and the normalisation `(grey - mean) / std` of grey levels 0 to 1.

    >>> wanted = ModelInput((3, 32, 32), mean=(0.5, 0.5, 0.5), std=0.5)
    >>> wanted.prepare(torch.zeros(2, 28, 28, dtype=torch.uint8)).shape
    torch.Size([2, 3, 32, 32])

    `shape` is (C, H, W), (H, W, C) where only the last number is a number of channels (1 or 3), (H, W), or (H · W,).
    A larger size is reached by a border of paper (grey level 0) on all sides, a smaller one by bilinear resizing with
    antialiasing; `resize` resizes to a larger size, too. Grey is repeated in every channel. A model that wants levels
    of 0 to 255 has mean 0 and std 1/255. Raises TinydigitsError for a shape that fits none of these, and for levels
    that are not one for each channel.
    """

    shape: tuple[int, ...] = (1, 28, 28)
    mean: Levels = 0.1307
    std: Levels = 0.3081
    resize: bool = False

    def __post_init__(self) -> None:
        square = math.isqrt(self.shape[0]) ** 2 == self.shape[0] if len(self.shape) == 1 else True
        if not 1 <= len(self.shape) <= 3 or min(self.shape) < 1 or not square:
            raise TinydigitsError(
                "the model's input", got="×".join(map(str, self.shape)),
                expected="channels×rows×columns, rows×columns×channels, rows×columns, or the pixels of a square",
            )  # fmt: skip
        for name, levels in (("mean", self.mean), ("std", self.std)):
            if isinstance(levels, tuple) and len(levels) not in (1, self.num_channels):
                raise TinydigitsError(
                    f"the model's input: {name}", got=f"{len(levels)} numbers", expected=f"1 or {self.num_channels}"
                )
        if min(self.std if isinstance(self.std, tuple) else (self.std,)) <= 0:
            raise TinydigitsError("the model's input: std", got=self.std, expected="> 0")

    @property
    def channels_last(self) -> bool:
        """Whether the channels are the last axis."""
        return len(self.shape) == 3 and self.shape[2] in (1, 3) and self.shape[0] not in (1, 3)

    @property
    def num_channels(self) -> int:
        if len(self.shape) < 3:
            return 1
        return self.shape[2] if self.channels_last else self.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        if len(self.shape) == 1:
            return math.isqrt(self.shape[0]), math.isqrt(self.shape[0])
        return self.shape[:2] if self.channels_last or len(self.shape) == 2 else self.shape[1:]  # type: ignore[return-value]

    def prepare(self, images_BHW: Tensor) -> Tensor:
        """From uint8 images to what the model takes, float32."""
        grey_BCHW = self._fit(images_BHW[:, None].float().div_(255))
        if self.num_channels > 1:
            grey_BCHW = grey_BCHW.repeat(1, self.num_channels, 1, 1)
        if self.channels_last:
            grey_BCHW = grey_BCHW.permute(0, 2, 3, 1).contiguous()
        return self.normalise(grey_BCHW.reshape(-1, *self.shape))

    def normalise(self, grey: Tensor) -> Tensor:
        """From grey levels of 0 to 1 in the model's shape to what the model takes; the tensor given is kept."""
        return grey.sub(self._levels(self.mean, grey)).div_(self._levels(self.std, grey))

    def _levels(self, levels: Levels, grey: Tensor) -> Tensor | float:
        if isinstance(levels, float | int):
            return levels
        shape = (1, 1, -1) if self.channels_last else (-1, 1, 1)[: len(self.shape)]
        return torch.tensor(levels, dtype=grey.dtype, device=grey.device).reshape(shape)

    def _fit(self, grey_BCHW: Tensor) -> Tensor:
        missing = [wanted - got for wanted, got in zip(self.size, grey_BCHW.shape[2:], strict=True)]
        if not any(missing):
            return grey_BCHW
        if min(missing) < 0 or self.resize:
            return F.interpolate(grey_BCHW, self.size, mode="bilinear", antialias=True, align_corners=False)
        top, left = missing[0] // 2, missing[1] // 2
        return F.pad(grey_BCHW, (left, missing[1] - left, top, missing[0] - top))


def parse_levels(text: str) -> Levels:
    """Levels as written: one number, or one for each channel with commas between.

    >>> parse_levels("0.5"), parse_levels("0.485,0.456,0.406")
    (0.5, (0.485, 0.456, 0.406))
    """
    numbers: Sequence[float] = [float(part) for part in text.split(",")]
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def levels_of_range(paper: float, ink: float) -> tuple[float, float]:
    """The mean and std that bring grey levels 0 and 1 to two given values.

    >>> levels_of_range(-1, 1), levels_of_range(0, 255)
    ((0.5, 0.5), (0.0, 0.00392156862745098))
    """
    return -paper / (ink - paper) + 0.0, 1 / (ink - paper)  # + 0.0: no negative zero
