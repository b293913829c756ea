"""Small models that checks show themselves on: a passing and a failing one for each check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinydigits.checks._subject import Subject
from tinydigits.data import ImageSet
from tinydigits.verdict import Status

__all__ = ["Example", "asked", "small", "small_images", "small_model"]


@dataclass(frozen=True)
class Example:
    """What a check must say of one subject. `says` is a part of the finding's measured value or reason."""

    status: Status
    subject: Callable[[], Subject]
    limits: dict[str, Any] = field(default_factory=dict)
    says: str = ""


def small_model(*, batch_norm: bool = True, dropout: float = 0.5, num_classes: int = 10) -> nn.Sequential:
    """A classifier of 8×8 images with every usual layer.

    >>> sum(parameter.numel() for parameter in small_model().parameters())
    98
    """
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4) if batch_norm else nn.Identity(),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(4, num_classes),
    )


def small(model: nn.Module | None = None, **fields: Any) -> Subject:
    """A subject of 8×8 images: `small_model`, or another."""
    return Subject(small_model() if model is None else model, **({"name": "small", "input_shape": (1, 8, 8)} | fields))


def small_images(num_images: int = 200) -> ImageSet:
    """An image set whose classes are told apart by brightness: class k is as bright as 25 k."""
    labels_N = (np.arange(num_images) % 10).astype(np.uint8)
    images_NHW = np.broadcast_to(labels_N[:, None, None] * 25, (num_images, 28, 28)).astype(np.uint8)
    return ImageSet("brightness", "test", images_NHW, labels_N, tuple("0123456789"))


class Brightness(nn.Module):
    """Tells the classes of `small_images` apart but for the first `num_wrong` of them."""

    def __init__(self, num_wrong: int = 0, sharpness: float = 1.0) -> None:
        super().__init__()
        self.num_wrong, self.sharpness = num_wrong, sharpness
        self.seed = nn.Parameter(torch.zeros(1))  # changes nothing but the weights

    def forward(self, images: Tensor) -> Tensor:
        brightness = (images.mean((1, 2, 3)) * 255 / 25).round()
        guesses = brightness + (brightness < self.num_wrong)
        return -self.sharpness * (guesses[:, None] - guesses.new_tensor(range(10))).abs()


def asked(
    num_wrong: int = 0, num_images: int = 200, *, sharpness: float = 1.0, model: nn.Module | None = None, **fields: Any
) -> Subject:
    """A trained subject that gets so many of the ten classes of `small_images` wrong."""
    images = small_images(num_images)
    return Subject(
        model or Brightness(num_wrong, sharpness), name="brightness", mean=0.0, std=1.0, trained=True,
        load_images=lambda source, split: images, **fields,
    )  # fmt: skip
