"""From a picture to the 28×28 grey levels that a model sees: photographs, scans, drawings, screenshots.

>>> import numpy as np
>>> picture_HW4 = np.full((90, 60, 4), 255, np.uint8)  # white paper
>>> picture_HW4[20:70, 25:33, :3] = (30, 30, 160)      # a stroke of blue ink
>>> [digit] = find_digits(picture_HW4)
>>> digit.image_HW.shape, digit.box
((28, 28), (25, 20, 8, 50))

The steps, each in the module of its name: `ink` finds what is written, whatever the light, the colour and the polarity;
`parts` says which ink belongs together; `stroke` brings the pen's width near MNIST's; `tinydigits.data.geometry` fits
and centres. The drawing page has the same steps in JavaScript, and a test holds the two together to one grey level, so
all of it is on whole numbers, or on IEEE doubles in an order that the comments state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinydigits.data.geometry import to_mnist_geometry
from tinydigits.data.picture.files import MAX_PIXELS, SUFFIXES, Picture, files_below, is_clutter, read_picture
from tinydigits.data.picture.ink import find_ink
from tinydigits.data.picture.parts import groups_of, paint, parts_of
from tinydigits.data.picture.stroke import normalise_stroke
from tinydigits.errors import TinydigitsError

__all__ = ["MAX_PIXELS", "SUFFIXES", "Digit", "Picture", "files_below", "find_digits", "is_clutter", "read_picture"]


@dataclass(frozen=True)
class Digit:
    """One digit of a picture: `image_HW` is uint8 (28, 28), bright ink on 0; `box` is left, top, width, height.

    `looks_like` is how many digits its ink would be taken for if each were sought.
    """

    image_HW: np.ndarray
    box: tuple[int, int, int, int]
    looks_like: int = 1


def find_digits(picture_HW4: np.ndarray, *, many: bool = False, max_digits: int | None = None) -> list[Digit]:
    """The digit of a picture, or with `many` each of them, in reading order; none where there is no ink.

    `picture_HW4` is uint8 (H, W, 4): red, green, blue, opacity, as a `Picture` has it. Without `many` all ink is
    one digit. Touching digits are one digit too. `box` is in pixels of the picture. Raises TinydigitsError where there
    are more than `max_digits`, before the work of reading them.
    """
    ink = find_ink(picture_HW4, many=many)
    parts = parts_of(ink.is_ink_HW)
    groups = groups_of(parts)
    looks_like = 1 if many else len(groups)
    if not many:
        groups = [parts] if parts else []
    if max_digits is not None and len(groups) > max_digits:
        raise TinydigitsError("picture", got=f"{len(groups):,} digits", expected=f"at most {max_digits:,}")
    digits = []
    for group in groups:
        gray_HW, (left, top, width, height) = paint(ink.gray_HW, group)
        scale = ink.scale
        right = min((left + width) * scale, picture_HW4.shape[1])
        bottom = min((top + height) * scale, picture_HW4.shape[0])
        box = (left * scale, top * scale, right - left * scale, bottom - top * scale)
        digits.append(Digit(to_mnist_geometry(normalise_stroke(gray_HW)), box, looks_like))
    return digits
