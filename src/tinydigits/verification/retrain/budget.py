"""Training images that are counted as they are handed out, and again as backward passes go over them.

Shapes: B images a batch, C channels, H × W pixels.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tinydigits.data import ImageSet
from tinydigits.data.batches import Batches

__all__ = ["BackwardCount", "BudgetSpent", "Passes", "TrainingData"]

Passes = Callable[[int, int, bool], Iterator[tuple[Tensor, Tensor]]]
"""One pass over the images by its number, the size of a batch, and whether they are shuffled."""


class BudgetSpent(BaseException):
    """The images of the budget have been taken: the training ends here, and the model is judged as it stands.

    No `Exception`, so that `except Exception` in a training function does not swallow it.
    """


@final
class TrainingData:
    """What a function `train(model, data)` is given: the training images, as many as the budget has.

    >>> import numpy as np
    >>> images = ImageSet("tiny", "train", np.zeros((6, 28, 28), np.uint8), np.zeros(6, np.uint8), ("a", "b"))
    >>> data = TrainingData.of(images, max_images=12)
    >>> [tuple(images_BCHW.shape) for images_BCHW, labels_B in data.batches(4)], data.images_left
    ([(4, 1, 28, 28), (2, 1, 28, 28)], 6)

    `batches(size)` is one pass over all images, shuffled; `for images, labels in data` passes in batches of 64. Images
    are float32 (B, 1, H, W), normalised; labels int64 (B,). What would go over the budget raises BudgetSpent, which
    ends the training.
    """

    def __init__(self, passes: Passes, *, num_images: int, num_classes: int, max_images: int) -> None:
        self._passes, self._num_images, self._max_images = passes, num_images, max_images
        self._num_passes = self._num_given = 0
        self.num_classes = num_classes

    @classmethod
    def of(
        cls, images: ImageSet, *, max_images: int, mean: float = 0.1307, std: float = 0.3081, seed: int = 0
    ) -> TrainingData:
        """The images of a set."""

        def passes(number: int, batch_size: int, shuffle: bool) -> Iterator[tuple[Tensor, Tensor]]:
            whole = Batches(images.images_NHW, images.labels_N, shuffle=shuffle, mean=mean, std=std, seed=seed)
            return whole.epoch(number, batch_size)

        return cls(passes, num_images=len(images), num_classes=len(images.classes), max_images=max_images)

    def __len__(self) -> int:
        return self._num_images

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.batches(64)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels as text: which class of the data set each stands for is not told before the verdict."""
        return tuple(map(str, range(self.num_classes)))

    @property
    def epochs(self) -> int:
        """How many whole passes the budget has."""
        return self._max_images // self._num_images

    @property
    def images_seen(self) -> int:
        """How many images were handed out."""
        return self._num_given

    @property
    def images_left(self) -> int:
        """How many images of the budget are left."""
        return self._max_images - self._num_given

    def batches(self, batch_size: int, *, shuffle: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the training images in batches of (B, 1, H, W) and labels (B,)."""
        self._num_passes += 1
        for images_BCHW, labels_B in self._passes(self._num_passes, batch_size, shuffle):
            if len(labels_B) > self.images_left:
                raise BudgetSpent
            self._num_given += len(labels_B)
            yield images_BCHW, labels_B


class BackwardCount:
    """Counts the images that backward passes go over, by their arithmetic against that of one image of the model.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> count = BackwardCount(model, (1, 8, 8))
    >>> with count.counting():
    ...     for _ in range(3):
    ...         model(torch.rand(4, 1, 8, 8)).sum().backward()
    >>> count.images
    12

    Whoever keeps images and shows them again is counted again, however the model is called; looking without a backward
    pass is free. What goes past `torch.autograd` (gradients written out by hand, other processes) is not counted.
    """

    def __init__(self, model: nn.Module, input_shape: tuple[int, ...]) -> None:
        self._total = 0
        self._of_one = (self._measured(model, input_shape, 4) - self._measured(model, input_shape, 2)) / 2
        self._total = 0

    @property
    def images(self) -> int:
        """How many images; 0 where the model's backward pass has no products to count."""
        return round(self._total / self._of_one) if self._of_one > 0 else 0

    def _measured(self, model: nn.Module, input_shape: tuple[int, ...], num_images: int) -> int:
        self._total = 0
        with torch.random.fork_rng(devices=[]), self.counting():
            answers = copy.deepcopy(model).train()(torch.zeros(num_images, *input_shape))
            next(answer for answer in tree_leaves(answers) if isinstance(answer, Tensor)).sum().backward()
        return self._total

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count within the block."""
        originals = torch.autograd.backward, torch.autograd.grad
        torch.autograd.backward, torch.autograd.grad = self._counted(originals[0]), self._counted(originals[1])
        try:
            yield
        finally:
            torch.autograd.backward, torch.autograd.grad = originals

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def counted(*arguments: Any, **settings: Any) -> Any:
            counter = FlopCounterMode(display=False)
            try:
                with counter:
                    return function(*arguments, **settings)
            finally:
                self._total += counter.get_total_flops()

        return counted
