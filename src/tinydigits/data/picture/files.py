"""Reading picture files with Pillow: the formats that people have, turned upright, with bounds on what is decoded."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tinydigits.errors import TinydigitsError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["MAX_PIXELS", "SUFFIXES", "Picture", "files_below", "is_clutter", "read_picture"]

MAX_PIXELS = 50_000_000  # a 48-megapixel photograph; decoded it is 200 MB, and for a moment held twice
# Pillow opens some thirty more. Few people use them, their readers are less tried, and an EPS file is a program that
# Ghostscript runs.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_BAND_PIXELS = 1_000_000
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm")
)
"""What the files of a folder are called that are taken for pictures."""
_CLUTTER = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"}
_MAX_BYTES = 8 * MAX_PIXELS  # of what comes through a pipe: so many pixels of four times 16 bits, not packed
_DRAFT_SIDE = 1024  # a JPEG is decoded at an eighth, a quarter or half of its size while both sides stay above this


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright: `pixels_HW4` is uint8 (H, W, 4), red, green, blue, opacity.

    The file has `width` × `height` pixels, turned as the picture is; H and W are a `shrunk_by`-th of them, rounded up.
    """

    pixels_HW4: np.ndarray
    width: int
    height: int
    shrunk_by: int = 1

    def in_file(self, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """A box of the pixels at hand, left, top, width, height, in those of the file.

        >>> Picture(np.zeros((50, 100, 4), np.uint8), width=399, height=200, shrunk_by=4).in_file((90, 10, 10, 20))
        (360, 40, 39, 80)
        """
        left, top, right, bottom = (
            self.shrunk_by * side for side in (box[0], box[1], box[0] + box[2], box[1] + box[3])
        )
        return left, top, min(right, self.width) - left, min(bottom, self.height) - top


def read_picture(source: str | Path | bytes | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture, the first frame of an animation, the first page of a TIFF.

    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("L", (3, 2), 255).save(file, "png")
    >>> read_picture(file.getvalue()).pixels_HW4.shape
    (2, 3, 4)

    `source` is a path, of a file or a pipe, a file's bytes, or an open stream, which is closed. A large JPEG is decoded
    at a fraction of its size. Raises TinydigitsError for what is no picture, is damaged, or has more than `max_pixels`.
    """
    where = str(source) if isinstance(source, str | Path) else getattr(source, "name", "picture")
    try:
        with warnings.catch_warnings(), _seekable(source) as file:
            warnings.simplefilter("ignore")  # Pillow's own bound is a warning; ours is below
            if not file.read(1):
                raise TinydigitsError(where, "is empty")
            return _decode(where, file, max_pixels)
    except FileNotFoundError as error:
        raise TinydigitsError(where, "no such file") from error
    except TinydigitsError:
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        if isinstance(error, OSError) and error.strerror:
            raise TinydigitsError(where, f"cannot be read: {error.strerror}") from error
        reason = "not a picture that can be read" if "cannot identify" in str(error) else f"cannot be read: {error}"
        raise TinydigitsError(where, reason, hint="PNG, JPEG, WebP, GIF, BMP, TIFF, PPM") from error


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder and below it, in no order, without hidden ones and what systems leave behind.

    A link to a file that is not there counts: to read it says so.
    """
    for path in folder.rglob("*"):
        is_file = path.is_file() or (path.is_symlink() and not path.exists())
        if is_file and not any(map(is_clutter, path.relative_to(folder).parts)):
            yield path


def is_clutter(name: str) -> bool:
    """Whether a file or folder is hidden, or left behind by macOS, Windows or a disk station.

    >>> [name for name in ("a.png", "._a.png", ".ipynb_checkpoints", "__MACOSX", "Thumbs.db") if not is_clutter(name)]
    ['a.png']
    """
    return name.startswith(".") or name.lower() in _CLUTTER


def _decode(where: str, file: BinaryIO, max_pixels: int) -> Picture:
    from PIL import Image, ImageOps

    with Image.open(file, formats=_FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise TinydigitsError(where, got=f"{width}×{height}", expected=f"at most {max_pixels:,} pixels")
        image.draft("RGB", (_DRAFT_SIDE, _DRAFT_SIDE))
        lying = image.size
        shrunk_by = -(-width // image.width)
        ImageOps.exif_transpose(image, in_place=True)
        if image.size != lying:
            width, height = height, width
        return Picture(_pixels(image), width, height, shrunk_by)


def _pixels(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 4), from a band of rows at a time: a large picture would else be held several times.

    Of scans of 16 bits and floats the darkest becomes 0 and the brightest 255; what is no number counts as 0.
    """
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    places = [(0, top, width, min(top + rows, height)) for top in range(0, height, rows)]
    pixels_HW4 = np.empty((height, width, 4), np.uint8)
    if not image.mode.startswith(("I", "F")):
        for place in places:
            pixels_HW4[place[1] : place[3]] = np.asarray(image.crop(place).convert("RGBA"))
        return pixels_HW4
    edges = [(band_HW.min(), band_HW.max()) for place in places for band_HW in [_numbers(image.crop(place))]]
    low, high = float(min(edge[0] for edge in edges)), float(max(edge[1] for edge in edges))
    for place in places:
        values_HW = _numbers(image.crop(place))
        gray_HW = ((values_HW - low) * (255 / max(high - low, 1e-9)) + 0.5).astype(np.uint8)
        pixels_HW4[place[1] : place[3], :, :3] = gray_HW[:, :, None]
    pixels_HW4[:, :, 3] = 255
    return pixels_HW4


def _numbers(image: Image.Image) -> np.ndarray:
    return np.nan_to_num(np.asarray(image, dtype=np.float64))


def _seekable(source: str | Path | bytes | BinaryIO) -> BinaryIO:
    """A file of which any part can be read: what comes through a pipe is read whole first, up to a bound."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    stream = Path(source).open("rb") if isinstance(source, str | Path) else source  # noqa: SIM115 (the caller closes it)
    if stream.seekable():
        return stream
    with stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise TinydigitsError("picture", got="more bytes", expected=f"at most {_MAX_BYTES:,} through a pipe")
    return io.BytesIO(content)
