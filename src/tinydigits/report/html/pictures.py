"""Small pictures as PNG inside a page, pixel for pixel; the page enlarges them without smoothing."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

__all__ = ["filter_urls", "png_url"]

# Two colours of Okabe and Ito's palette, see `style`: below zero and above.
_BELOW, _ABOVE, _ZERO = np.array([0x00, 0x72, 0xB2]), np.array([0xD5, 0x5E, 0x00]), np.array([0xFF, 0xFF, 0xFF])


def png_url(image: np.ndarray) -> str:
    """A uint8 image (H, W) or (H, W, 3) as a `data:` address.

    >>> png_url(np.zeros((2, 2), np.uint8))[:22]
    'data:image/png;base64,'
    """
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def filter_urls(filters: np.ndarray, most: int = 64) -> list[tuple[str, str]]:
    """Each filter's name and picture: blue below zero, orange above, all on the scale of the strongest weight.

    `filters` is (filters, channels, rows, columns); of several channels each is a picture of its own.
    """
    strongest = float(np.abs(filters).max(initial=0)) or 1.0
    found = []
    for number, channels in enumerate(filters):
        for channel, weight_HW in enumerate(channels):
            share_HW1 = (weight_HW / strongest)[..., None]
            colour_HW3 = _ZERO + np.abs(share_HW1) * (np.where(share_HW1 < 0, _BELOW, _ABOVE) - _ZERO)
            name = f"{number}" if len(channels) == 1 else f"{number}.{channel}"
            found.append((name, png_url(colour_HW3.round().astype(np.uint8))))
    return found[:most]
