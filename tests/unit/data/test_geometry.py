"""MNIST's geometry, against a plain port of its description, against Pillow, and against MNIST."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from tinydigits.data import to_mnist_geometry
from tinydigits.errors import TinydigitsError


def drawings(num: int) -> list[np.ndarray]:
    """Blots and strokes of many sizes and shapes, grey at the edges."""
    random = np.random.default_rng(7)
    made = []
    for _ in range(num):
        height, width = random.integers(1, 90, 2)
        field = random.random((height, width)) * np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
        made.append((255 * np.clip(3 * field - 0.4, 0, 1)).astype(np.uint8))
    return made


def port(gray: list[list[int]]) -> list[list[int]]:
    """The description in `geometry.py`, step by step, as somebody would write it in another language."""

    def resample(lines: list[list[float]], new: int) -> list[list[float]]:
        old, result = len(lines), []
        s = old / new
        r = max(s, 1.0)
        for i in range(new):
            c = (i + 0.5) * s
            k_range = range(max(0, math.floor(c - r + 0.5)), min(old, math.floor(c + r + 0.5)))
            weights = [max(0.0, 1 - abs(k + 0.5 - c) / r) for k in k_range]
            total = sum(weights)
            columns = zip(*(lines[k] for k in k_range), strict=True)
            result.append([sum(w / total * v for w, v in zip(weights, column, strict=True)) for column in columns])
        return result

    def turned(lines: list) -> list:
        return [list(line) for line in zip(*lines, strict=True)]

    def start(mass: list[int], new: int) -> int:
        m = sum((2 * k + 1) * v for k, v in enumerate(mass)) / (2 * sum(mass))
        return min(max(math.floor(14.5 - m * new / len(mass) + 0.5), 0), 28 - new)

    field = [[0] * 28 for _ in range(28)]
    rows = [y for y, line in enumerate(gray) if any(line)]
    columns = [x for x, line in enumerate(turned(gray)) if any(line)]
    if not rows:
        return field
    box = [line[columns[0] : columns[-1] + 1] for line in gray[rows[0] : rows[-1] + 1]]
    long = max(len(box), len(box[0]))
    height, width = (max(1, math.floor(20 * side / long + 0.5)) for side in (len(box), len(box[0])))
    fitted = turned(resample(turned(resample(box, height)), width))
    top, left = start([sum(line) for line in box], height), start([sum(line) for line in turned(box)], width)
    for y in range(height):
        for x in range(width):
            field[top + y][left + x] = math.floor(fitted[y][x] + 0.500001)
    return field


def test_a_port_of_the_description_agrees_to_the_grey_level():
    for drawing in drawings(60):
        assert np.array_equal(to_mnist_geometry(drawing), port(drawing.tolist()))


def test_the_resampling_is_pillows_to_one_grey_level():
    for drawing in drawings(60):
        ink = np.argwhere(drawing)
        if not len(ink):
            continue
        (top, left), (bottom, right) = ink.min(axis=0), ink.max(axis=0) + 1
        box = drawing[top:bottom, left:right]
        height, width = (max(1, math.floor(20 * side / max(box.shape) + 0.5)) for side in box.shape)
        expected = np.asarray(Image.fromarray(box).resize((width, height), Image.Resampling.BILINEAR), dtype=int)
        result = to_mnist_geometry(drawing).astype(int)
        distances = [
            np.abs(result[y : y + height, x : x + width] - expected).max()
            for y in range(29 - height)
            for x in range(29 - width)
        ]
        assert min(distances) <= 1


def test_ink_fills_20_pixels_and_its_centre_lies_at_pixel_14():
    random = np.random.default_rng(3)
    for _ in range(40):
        drawing = np.zeros((120, 120), np.uint8)
        height, width = random.integers(10, 100, 2)
        drawing[5 : 5 + height, 9 : 9 + width] = random.integers(1, 256, (height, width))
        result = to_mnist_geometry(drawing)
        rows, columns = np.flatnonzero(result.any(axis=1)), np.flatnonzero(result.any(axis=0))
        assert max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1 == 20
        mass = result.astype(float)
        assert abs((mass.sum(axis=1) @ np.arange(28)) / mass.sum() - 14) <= 0.55
        assert abs((mass.sum(axis=0) @ np.arange(28)) / mass.sum() - 14) <= 0.55


def test_where_the_drawing_stood_does_not_matter():
    for drawing in drawings(20):
        expected = to_mnist_geometry(drawing)
        assert np.array_equal(to_mnist_geometry(np.pad(drawing, ((3, 40), (17, 0)))), expected)
        assert np.array_equal(to_mnist_geometry(np.asfortranarray(drawing)), expected)


def test_a_heavy_end_does_not_push_the_light_one_out():
    drawing = np.zeros((20, 20), np.uint8)
    drawing[:, 10] = 3
    drawing[:3, :] = 255
    result = to_mnist_geometry(drawing)
    assert np.array_equal(result[8:28, 4:24], drawing), "as low as it goes: all 20 rows are still there"
    assert result.sum() == drawing.sum()


@pytest.mark.parametrize("shape", [(1, 1), (28, 28), (0, 5)])
def test_no_ink_is_a_blank_field(shape):
    result = to_mnist_geometry(np.zeros(shape, np.uint8))
    assert result.shape == (28, 28) and result.dtype == np.uint8 and not result.any()


def test_a_line_keeps_its_one_pixel():
    drawing = np.full((500, 1), 200, np.uint8)
    result = to_mnist_geometry(drawing)
    assert (result > 0).sum() == 20 and set(result[result > 0].tolist()) == {200}


@pytest.mark.parametrize("image", [np.zeros((3, 3)), np.zeros((3, 3, 3), np.uint8)])
def test_other_arrays_are_refused(image):
    with pytest.raises(TinydigitsError, match="expected grey levels as uint8"):
        to_mnist_geometry(image)


def test_real_mnist_passes_through_unchanged(mnist):
    is_same = [np.array_equal(to_mnist_geometry(image), image) for image in mnist.train.images_NHW[:3000]]
    assert is_same.index(False) == 908 and sum(is_same) == 2999, "image 908 is one of the 13 with a side of 19 pixels"
