"""The steps of a recipe's augmentation, in the order in which the recipe names them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tinydigits.recipe.part import Fraction, Part, Positive

__all__ = [
    "Affine", "AugmentStep", "Blur", "Contrast", "Elastic", "Erasing", "Inversion", "Noise", "Perspective", "Rotation",
    "ZoomOut",
]  # fmt: skip


class Rotation(Part):
    """Turn by up to ± `degrees`."""

    name: Literal["rotation"]
    degrees: Annotated[float, Field(ge=0, le=180)]
    p: Fraction = 1.0


class Affine(Part):
    """Turn, shift, scale and shear, each drawn evenly from its range."""

    name: Literal["affine"]
    degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift_pixels: Annotated[float, Field(ge=0, le=14)] = 0.0
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    shear_degrees: Annotated[float, Field(ge=0, lt=90)] = 0.0
    p: Fraction = 1.0


class ZoomOut(Part):
    """Shrink to `scale` of the size, on an empty ground."""

    name: Literal["zoom-out"]
    scale: Annotated[float, Field(gt=0, le=1)] = 0.875
    p: Fraction = 1.0


class Perspective(Part):
    """Move each corner inwards by up to `distortion` of half the size."""

    name: Literal["perspective"]
    distortion: Annotated[float, Field(ge=0, lt=1)] = 0.2
    p: Fraction = 0.5


class Elastic(Part):
    """Move `points` × `points` points by normal amounts of standard deviation `pixels`, the rest smoothly along.

    Stronger than 2 pixels at 5 points folds strokes.
    """

    name: Literal["elastic"]
    pixels: Annotated[float, Field(ge=0, le=14)] = 1.0
    points: Annotated[int, Field(ge=2, le=28)] = 5
    p: Fraction = 1.0


class Erasing(Part):
    """Set a random rectangle to black; `area` is its share of the picture, `aspect` its height ÷ width."""

    name: Literal["erasing"]
    area: tuple[Fraction, Fraction] = (0.02, 0.1)
    aspect: tuple[Positive, Positive] = (0.3, 3.3)
    p: Fraction = 0.5


class Blur(Part):
    """Gaussian blur with a standard deviation drawn from `sigma_pixels`."""

    name: Literal["blur"]
    sigma_pixels: tuple[Positive, Positive] = (0.1, 1.0)
    p: Fraction = 0.5


class Inversion(Part):
    """Swap ink and ground."""

    name: Literal["inversion"]
    p: Fraction = 0.1


class Contrast(Part):
    """Pull all pixels towards middle grey: by `factor` 1 they stay, by 0 the picture is flat."""

    name: Literal["contrast"]
    factor: tuple[Fraction, Fraction] = (0.6, 1.0)
    p: Fraction = 0.5


class Noise(Part):
    """Add Gaussian noise of standard deviation `std` (white is 1), then clip to 0…1."""

    name: Literal["noise"]
    std: Positive = 0.05
    p: Fraction = 0.5


AugmentStep = Annotated[
    Rotation | Affine | ZoomOut | Perspective | Elastic | Erasing | Blur | Contrast | Inversion | Noise,
    Field(discriminator="name"),
]
