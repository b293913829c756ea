"""A fixed set of corruptions at five severities, made by the operations that also augment training images.

After the idea of Hendrycks and Dietterich (Benchmarking neural network robustness, ICLR 2019) and MNIST-C (Mu and
Gilmer, 2019), with figures of our own for 28×28 pictures of ink on black.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from tinydigits.data import ImageSet
from tinydigits.data.augment import augment
from tinydigits.data.batches import seed_for
from tinydigits.recipe.augment import AugmentStep

__all__ = ["NAMES", "USUAL", "corrupt"]

_CHUNK = 1_000


def _steps(**settings: list[object]) -> list[dict[str, object]]:
    """The settings of a step at severities 1 to 5."""
    return [dict(zip(settings, values, strict=True)) for values in zip(*settings.values(), strict=True)]


def _same(*values: float) -> list[object]:
    """Ranges of a single value: every image is changed as much as any other."""
    return [(value, value) for value in values]


# Name → the augmentation step, and what it is set to at severities 1 to 5.
_CORRUPTIONS: dict[str, tuple[str, list[dict[str, object]]]] = {
    "noise": ("noise", _steps(std=[0.05, 0.1, 0.15, 0.2, 0.3])),
    "blur": ("blur", _steps(sigma_pixels=_same(0.5, 0.75, 1.0, 1.25, 1.5))),
    "contrast": ("contrast", _steps(factor=_same(0.8, 0.65, 0.5, 0.4, 0.3))),
    "occlusion": ("erasing", _steps(area=_same(0.02, 0.04, 0.06, 0.09, 0.12), aspect=_same(1, 1, 1, 1, 1))),
    "rotation": ("rotation", _steps(degrees=[5, 10, 15, 20, 30])),
    "shear": ("affine", _steps(shear_degrees=[5, 10, 15, 20, 25])),
    "scale": ("affine", _steps(scale=_same(0.9, 0.8, 0.7, 0.6, 0.5))),
    "perspective": ("perspective", _steps(distortion=[0.1, 0.2, 0.3, 0.4, 0.5])),
    "inversion": ("inversion", [{}] * 5),
}
NAMES = tuple(_CORRUPTIONS)
# Inversion is another kind of picture rather than a worse one: it is asked for by name.
USUAL = tuple(name for name in NAMES if name != "inversion")


def corrupt(images: ImageSet, name: str, severity: int) -> ImageSet:
    """The same images, each corrupted by draws of its own that depend on nothing but its place in the set.

    >>> from tinydigits import data
    >>> dark = corrupt(data.load("digits", "test"), "contrast", severity=5)
    >>> dark.name, len(dark)
    ('digits, contrast 5', 596)

    `severity` is 1 (hardly seen) to 5 (still legible to people); images stay uint8.
    """
    step_name, settings = _CORRUPTIONS[name]
    step = TypeAdapter[Any](AugmentStep).validate_python({"name": step_name, "p": 1.0} | settings[severity - 1])
    generator = torch.Generator().manual_seed(seed_for(NAMES.index(name), severity))
    parts = []
    for start in range(0, len(images), _CHUNK):
        images_BCHW = torch.from_numpy(images.images_NHW[start : start + _CHUNK])[:, None].float().div_(255)
        changed_BCHW = augment(images_BCHW, [step], generator).mul_(255).round_().clamp_(0, 255)
        parts.append(changed_BCHW[:, 0].to(torch.uint8).numpy())
    return ImageSet(
        f"{images.name}, {name} {severity}", images.split, np.concatenate(parts), images.labels_N, images.classes
    )
