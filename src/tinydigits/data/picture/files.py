"""Reading picture files with Pillow: the formats that people have, turned upright, with bounds on what is decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinydigits.errors import TinydigitsError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_PIXELS", "read_picture"]

MAX_PIXELS = 50_000_000  # a 48-megapixel photograph; decoded it is 200 MB, and for a moment held twice
# Pillow opens some thirty more. Few people use them, their readers are less tried, and an EPS file is a program that
# Ghostscript runs.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_BAND_PIXELS = 1_000_000
_DRAFT_SIDE = 1024  # a JPEG is decoded at an eighth, a quarter or half of its size while both sides stay above this


def read_picture(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A picture's pixels, upright: uint8 (H, W, 4), red, green, blue, opacity. The first frame of an animation.

    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("L", (3, 2), 255).save(file, "png")
    >>> read_picture(file.getvalue()).shape
    (2, 3, 4)

    `source` is a path or a file's bytes. A large JPEG is decoded at a fraction of its size. Raises TinydigitsError for
    what is no picture, is damaged, or has more than `max_pixels`.
    """
    from PIL import Image, ImageOps

    where = "picture" if isinstance(source, bytes) else str(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own bound is a warning; ours is below
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with Image.open(file, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise TinydigitsError(where, got=f"{width}×{height}", expected=f"at most {max_pixels:,} pixels")
                image.draft("RGB", (_DRAFT_SIDE, _DRAFT_SIDE))
                ImageOps.exif_transpose(image, in_place=True)
                return _pixels(image)
    except FileNotFoundError as error:
        raise TinydigitsError(where, "no such file") from error
    except TinydigitsError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        reason = "not a picture that can be read" if "cannot identify" in str(error) else f"cannot be read: {error}"
        raise TinydigitsError(where, reason, hint="PNG, JPEG, WebP, GIF, BMP, TIFF, PPM") from error


def _pixels(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 4), from a band of rows at a time: a large picture would else be held several times.

    Of scans of 16 bits and floats the darkest becomes 0 and the brightest 255.
    """
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    places = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    pixels_HW4 = np.empty((height, width, 4), np.uint8)
    if not image.mode.startswith(("I", "F")):
        for place in places:
            pixels_HW4[place[1] : place[3]] = np.asarray(image.crop(place).convert("RGBA"))
        return pixels_HW4
    edges = [(band_HW.min(), band_HW.max()) for place in places for band_HW in [np.asarray(image.crop(place))]]
    low, high = float(min(edge[0] for edge in edges)), float(max(edge[1] for edge in edges))
    for place in places:
        values_HW = np.asarray(image.crop(place), dtype=np.float64)
        gray_HW = ((values_HW - low) * (255 / max(high - low, 1e-9)) + 0.5).astype(np.uint8)
        pixels_HW4[place[1] : place[3], :, :3] = gray_HW[:, :, None]
    pixels_HW4[:, :, 3] = 255
    return pixels_HW4
