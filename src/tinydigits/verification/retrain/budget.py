"""Training images that are counted as they are handed out, and again as they go through the model.

Shapes: B images a batch, C channels, H × W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from tinydigits.data import ImageSet
from tinydigits.data.batches import Batches

__all__ = ["BudgetSpent", "TrainingData"]


class BudgetSpent(BaseException):
    """The images of the budget have been taken: the training ends here, and the model is judged as it stands.

    No `Exception`, so that `except Exception` in a training function does not swallow it.
    """


@final
class TrainingData:
    """What a function `train(model, data)` is given: the training images, as many as the budget has.

    >>> import numpy as np
    >>> images = ImageSet("tiny", "train", np.zeros((6, 28, 28), np.uint8), np.zeros(6, np.uint8), ("a", "b"))
    >>> data = TrainingData(images, max_images=12)
    >>> [tuple(images_BCHW.shape) for images_BCHW, labels_B in data.batches(4)], data.images_left
    ([(4, 1, 28, 28), (2, 1, 28, 28)], 6)

    `batches(size)` is one pass over all images, shuffled; `for images, labels in data` passes in batches of 64. Images
    are float32 (B, 1, H, W), normalised; labels int64 (B,). Every image handed out is counted, and so is every image
    that goes through a module with trainable parameters while gradients are on: who keeps images and shows them again
    pays for them again. Looking costs nothing under `torch.no_grad()`. What would go over the budget raises
    BudgetSpent, which ends the training.
    """

    def __init__(
        self, images: ImageSet, *, max_images: int, mean: float = 0.1307, std: float = 0.3081, seed: int = 0
    ) -> None:
        self._images, self._max_images = images, max_images
        self._settings: dict[str, Any] = {"mean": mean, "std": std, "seed": seed}
        self._passes = self._handed_out = self._shown = 0

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return self.batches(64)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self._images.classes

    @property
    def epochs(self) -> int:
        """How many whole passes the budget has."""
        return self._max_images // len(self._images)

    @property
    def images_seen(self) -> int:
        """The larger of the two counts: handed out, and shown to a model that learns."""
        return max(self._handed_out, self._shown)

    @property
    def images_left(self) -> int:
        """How many images of the budget are left."""
        return max(0, self._max_images - self.images_seen)

    def batches(self, batch_size: int, *, shuffle: bool = True) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the training images in batches of (B, 1, H, W) and labels (B,)."""
        self._passes += 1
        whole = Batches(self._images.images_NHW, self._images.labels_N, shuffle=shuffle, **self._settings)
        for images_BCHW, labels_B in whole.epoch(self._passes, batch_size):
            if self._handed_out + len(labels_B) > self._max_images:
                raise BudgetSpent
            self._handed_out += len(labels_B)
            yield images_BCHW, labels_B

    @contextmanager
    def counting_what_is_shown(self) -> Iterator[None]:
        """Within the block, count images that go through any model that learns; raises BudgetSpent there, too."""
        depth = 0

        def enter(module: nn.Module, arguments: Any) -> None:
            nonlocal depth
            learns = depth == 0 and torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())
            images = next((value for value in arguments if isinstance(value, Tensor) and value.ndim > 1), None)
            if learns and images is not None:
                if self._shown + len(images) > self._max_images:
                    raise BudgetSpent  # before the depth is counted: without an entry there is no leaving
                self._shown += len(images)
            depth += 1

        def leave(module: nn.Module, arguments: Any, output: Any) -> None:
            nonlocal depth
            depth -= 1

        handles = [
            hooks.register_module_forward_pre_hook(enter),
            hooks.register_module_forward_hook(leave, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
