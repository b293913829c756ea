"""Small models that checks show themselves on: a passing and a failing one for each check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from tinydigits.checks._finding import Status
from tinydigits.checks._subject import Subject
from tinydigits.data import ImageSet

__all__ = ["Example", "small", "small_images", "small_model"]


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


def small(model: nn.Module | None = None, **facts: Any) -> Subject:
    """A subject of 8×8 images: `small_model`, or another."""
    return Subject(small_model() if model is None else model, **({"name": "small", "input_shape": (1, 8, 8)} | facts))


def small_images(num_images: int = 200) -> ImageSet:
    """An image set whose classes are told apart by brightness: class k is as bright as 25 k."""
    labels_N = (np.arange(num_images) % 10).astype(np.uint8)
    images_NHW = np.broadcast_to(labels_N[:, None, None] * 25, (num_images, 28, 28)).astype(np.uint8)
    return ImageSet("brightness", "test", images_NHW, labels_N, tuple("0123456789"))
