"""Reading picture files with Pillow: the formats that people have, turned upright, with bounds on what is decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np

from tinydigits.errors import TinydigitsError

__all__ = ["MAX_PIXELS", "read_picture"]

MAX_PIXELS = 50_000_000  # a 48-megapixel photograph; decoded it is 200 MB
# Pillow opens some thirty more. Few people use them, their readers are less tried, and an EPS file is a program that
# Ghostscript runs.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
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
                if image.mode.startswith(("I", "F")):
                    image = _to_eight_bits(image)
                return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    except FileNotFoundError as error:
        raise TinydigitsError(where, "no such file") from error
    except TinydigitsError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        reason = "not a picture that can be read" if "cannot identify" in str(error) else f"cannot be read: {error}"
        raise TinydigitsError(where, reason, hint="PNG, JPEG, WebP, GIF, BMP, TIFF, PPM") from error


def _to_eight_bits(image):  # type: ignore[no-untyped-def]  # Pillow is imported where it is used
    """Scans of 16 bits and floats: the darkest becomes 0 and the brightest 255."""
    from PIL import Image

    values_HW = np.asarray(image, dtype=np.float64)
    low, high = float(values_HW.min()), float(values_HW.max())
    return Image.fromarray(((values_HW - low) * (255 / max(high - low, 1e-9)) + 0.5).astype(np.uint8))
