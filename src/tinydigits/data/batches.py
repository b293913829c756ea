"""Batches straight from uint8 memory: gathered, augmented and normalised many images at a time.

Shapes: N images in the set, B in a batch, H × W pixels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinydigits.data.augment import augment

__all__ = ["Batches", "normalise", "seed_for"]

# Images prepared at once. Small batches (2 or 10 images) would otherwise pay the fixed cost of each tensor operation
# hundreds of times; 1,024 images are 3 MB of floats, which stay in the second-level cache's reach.
_CHUNK_IMAGES = 1024


class Batches:
    """The batches of a training set, epoch by epoch, the same for the same seed.

    >>> import numpy as np
    >>> images, labels = np.zeros((10, 28, 28), dtype=np.uint8), np.arange(10, dtype=np.uint8)
    >>> batches = Batches(images, labels, mean=0.1307, std=0.3081, seed=0)
    >>> [tuple(images_BCHW.shape) for images_BCHW, labels_B in batches.epoch(1, batch_size=4)]
    [(4, 1, 28, 28), (4, 1, 28, 28), (2, 1, 28, 28)]

    Images (N, H, W) stay uint8 on `device`, once; a batch is float32 (B, 1, H, W) with int64 labels (B,). Every image
    is given once an epoch, the last batch whatever its size. All randomness is drawn from seeds made of (seed, epoch,
    chunk), so a training can be taken up again at any batch without a state to carry.
    """

    def __init__(
        self,
        images_NHW: np.ndarray,
        labels_N: np.ndarray,
        *,
        mean: float,
        std: float,
        seed: int,
        steps: Sequence[Any] = (),
        shuffle: bool = True,
        device: str | torch.device = "cpu",
        channels_last: bool = False,
        smallest: int = 2,
    ) -> None:
        self.images_NHW = torch.from_numpy(images_NHW).to(device)
        self.labels_N = torch.from_numpy(labels_N).to(device).long()
        self.mean, self.std, self.seed, self.steps, self.shuffle = mean, std, seed, tuple(steps), shuffle
        self.device, self.smallest = torch.device(device), smallest
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def plain(self) -> Batches:
        """The same batches of the same images, not augmented."""
        plain = copy.copy(self)
        plain.steps = ()
        return plain

    def num_batches(self, batch_size: int) -> int:
        """How many batches an epoch has; fewer than `smallest` images left over join the last batch.

        BatchNorm has no statistics of one value: a last batch of a single image would stop the training.
        """
        whole, rest = divmod(len(self.images_NHW), batch_size)
        return max(1, whole) if 0 < rest < self.smallest else whole + (rest > 0)

    def epoch(self, epoch: int, batch_size: int, *, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch (counted from 1), from batch number `start` (counted from 0) on."""
        order_N = self._order(epoch)
        num_batches = self.num_batches(batch_size)
        per_chunk = max(1, _CHUNK_IMAGES // batch_size)
        for chunk in range(start // per_chunk, math.ceil(num_batches / per_chunk)):
            first, end = chunk * per_chunk, min((chunk + 1) * per_chunk, num_batches)
            indices = order_N[first * batch_size : end * batch_size if end < num_batches else None]
            cuts = [number * batch_size for number in range(1, end - first)]
            images, labels = self._prepare(indices, epoch, chunk), self.labels_N[indices]
            pairs = zip(images.tensor_split(cuts), labels.tensor_split(cuts), strict=True)
            yield from islice(pairs, max(0, start - first), None)

    def _order(self, epoch: int) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.images_NHW), device=self.device)
        # Drawn on the CPU, so that the order is the same on every device.
        generator = torch.Generator().manual_seed(seed_for(self.seed, epoch))
        return torch.randperm(len(self.images_NHW), generator=generator).to(self.device)

    def _prepare(self, indices: Tensor, epoch: int, chunk: int) -> Tensor:
        images_BHW = self.images_NHW.index_select(0, indices)  # whole rows: a tenth of the time of [indices]
        if not self.steps:
            images_BCHW = normalise(images_BHW, self.mean, self.std)
        else:
            generator = torch.Generator(self.device).manual_seed(seed_for(self.seed, epoch, chunk))
            images_BCHW = augment(images_BHW[:, None].float().div_(255), self.steps, generator)
            images_BCHW = images_BCHW.sub_(self.mean).div_(self.std)
        return images_BCHW.contiguous(memory_format=self.memory_format)


def normalise(images_BHW: Tensor, mean: float, std: float) -> Tensor:
    """uint8 images (B, H, W) to normalised floats (B, 1, H, W): `(pixel / 255 - mean) / std`.

    >>> import torch
    >>> normalise(torch.full((1, 1, 1), 255, dtype=torch.uint8), mean=0.5, std=0.25)
    tensor([[[[2.]]]])
    """
    return images_BHW[:, None].float().div_(255).sub_(mean).div_(std)


def seed_for(*numbers: int) -> int:
    """A seed made of several numbers, well mixed: neighbouring seeds and epochs give unrelated streams.

    >>> seed_for(0, 1) == seed_for(0, 2)
    False
    """
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
