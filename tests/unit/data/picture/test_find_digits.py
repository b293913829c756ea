"""Whatever the light, the colour and the polarity: the same digit gives nearly the same 28×28."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.pictures.scenes import SCENES, make_picture, write_digit
from tests.conftest import Mnist
from tinydigits.data import to_mnist_geometry
from tinydigits.data.picture import Digit, find_digits, read_picture
from tinydigits.data.picture.stroke import normalise_stroke

PAPER = (255, 255, 255, 255)


def paper(height: int = 120, width: int = 90) -> np.ndarray:
    picture_HW4 = np.zeros((height, width, 4), np.uint8)
    picture_HW4[:] = PAPER
    return picture_HW4


def seven() -> np.ndarray:
    """White paper with a black seven, well off the centre."""
    picture_HW4 = paper()
    picture_HW4[12:18, 10:45, :3] = 0
    picture_HW4[12:70, 39:45, :3] = 0
    return picture_HW4


def only(picture_HW4: np.ndarray) -> np.ndarray:
    [digit] = find_digits(picture_HW4)
    return digit.image_HW.astype(int)


def distance(digit: Digit, expected: np.ndarray) -> float:
    return float(np.abs(digit.image_HW.astype(int) - expected).mean())


@pytest.mark.parametrize("name", SCENES)
def test_each_scene_gives_back_the_digit_that_was_put_into_it(name: str) -> None:
    """The same pen or font, turned alike, straight from its mask: what the model sees must be close to that."""
    for digit in (2, 4, 5):
        mask_HW = np.asarray(write_digit(digit, SCENES[name], "left", np.random.default_rng(2)))
        expected_HW = to_mnist_geometry(normalise_stroke(mask_HW))
        # The picture draws its size and place after the pen, so its generator starts at the pen's numbers.
        made = read_picture(make_picture(digit, SCENES[name], "left", np.random.default_rng(2)))
        picture = find_digits(made.pixels_HW4)
        assert len(picture) == 1
        assert np.corrcoef(picture[0].image_HW.ravel(), expected_HW.ravel())[0, 1] > 0.65, digit


def test_mnists_own_images_pass_nearly_unchanged(mnist: Mnist) -> None:
    """Some move by one pixel, where the centre of mass lies between two; none is torn or loses its polarity."""
    alike = []
    for image_HW in mnist.train.images_NHW[:200]:
        picture_HW4 = np.dstack([image_HW] * 3 + [np.full_like(image_HW, 255)])
        alike.append(np.corrcoef(only(picture_HW4).ravel(), image_HW.ravel())[0, 1])
    assert min(alike) > 0.65 and np.mean(np.array(alike) > 0.95) > 0.95


def test_polarity_color_and_size_change_next_to_nothing() -> None:
    black = only(seven())
    inverted_HW4 = seven()
    inverted_HW4[:, :, :3] = 255 - inverted_HW4[:, :, :3]
    red_on_blue_HW4 = np.where(seven()[:, :, :1] == 0, (200, 30, 40, 255), (20, 60, 140, 255)).astype(np.uint8)
    large_HW4 = seven().repeat(9, axis=0).repeat(9, axis=1)
    for picture_HW4 in (inverted_HW4, red_on_blue_HW4, large_HW4):
        assert np.abs(only(picture_HW4) - black).mean() < 2


def test_equally_bright_colors_are_told_apart() -> None:
    red_on_green_HW4 = np.where(seven()[:, :, :1] == 0, (255, 0, 0, 255), (0, 130, 0, 255)).astype(np.uint8)
    assert np.abs(only(red_on_green_HW4) - only(seven())).mean() < 2


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (90, 20, 140)])
def test_a_drawing_on_nothing_is_read_by_its_opacity(color: tuple[int, int, int]) -> None:
    picture_HW4 = np.zeros((120, 90, 4), np.uint8)
    picture_HW4[:, :, :3] = color
    picture_HW4[:, :, 3] = 255 - seven()[:, :, 0]
    assert np.abs(only(picture_HW4) - only(seven())).mean() < 2


def test_a_strong_gradient_of_light_leaves_only_the_ink() -> None:
    light = np.linspace(0.35, 1, 90)[None, :, None]
    picture_HW4 = seven()
    picture_HW4[:, :, :3] = picture_HW4[:, :, :3] * light
    assert np.abs(only(picture_HW4) - only(seven())).mean() < 8


@pytest.mark.parametrize("width", [2, 28])
def test_hairlines_and_thick_markers_come_near_the_width_of_mnists_strokes(width: int) -> None:
    picture_HW4 = paper(300, 200)
    picture_HW4[40:260, 90 : 90 + width, :3] = 0
    num_bright = (only(picture_HW4) >= 128).any(axis=0).sum()
    assert 1 <= num_bright <= 4


@pytest.mark.parametrize("level", [0, 128, 255])
def test_an_empty_picture_has_no_digit(level: int) -> None:
    assert find_digits(np.full((60, 60, 4), level, np.uint8)) == []


def test_grain_alone_is_no_digit() -> None:
    noise = np.random.default_rng(0).normal(230, 4, (300, 300, 1)).clip(0, 255)
    picture_HW4 = np.concatenate([noise] * 3 + [np.full_like(noise, 255)], axis=2).astype(np.uint8)
    assert find_digits(picture_HW4) == []


def test_the_box_is_in_pixels_of_the_picture() -> None:
    [digit] = find_digits(seven().repeat(10, axis=0).repeat(10, axis=1))
    left, top, width, height = digit.box
    assert abs(left - 100) <= 6 and abs(top - 120) <= 6
    assert abs(width - 350) <= 12 and abs(height - 580) <= 12


def test_many_reads_a_row_from_left_to_right_and_line_by_line() -> None:
    one = seven()[:82]
    other = np.ascontiguousarray(one[::-1])
    row = np.concatenate([one, other, one], axis=1)
    page = np.concatenate([row, np.concatenate([other, one, other], axis=1)])
    found = find_digits(page, many=True)
    assert len(found) == 6
    for digit, expected in zip(found, [one, other, one, other, one, other], strict=True):
        assert np.abs(digit.image_HW.astype(int) - only(expected)).mean() < 8
    assert len(find_digits(page)) == 1


def test_many_follows_a_line_that_rises_or_falls() -> None:
    """As on a photograph of paper that lies aslant: the last digit has no row in common with the first."""
    one, other = only(seven()[:82]), only(np.ascontiguousarray(seven()[:82][::-1]))
    for step in (-14, 14):
        page = paper(600, 900)
        for line in range(2):
            for place in range(8):
                top = 140 + 160 * line + step * place - min(0, 7 * step)
                digit = seven()[:82] if (place + line) % 2 else seven()[:82][::-1]
                page[top : top + 82, 90 * place + 40 : 90 * place + 130] = digit
        found = find_digits(page, many=True)
        assert len(found) == 16
        for index, digit in enumerate(found):
            place, line = index % 8, index // 8
            expected, wrong = (one, other) if (place + line) % 2 else (other, one)
            assert digit.box[0] == pytest.approx(90 * place + 50, abs=3)
            assert distance(digit, expected) < distance(digit, wrong) / 2


def test_a_long_strip_is_read_digit_by_digit() -> None:
    """Sixty digits, each twenty pixels wide: shrunk to the usual side each would have six."""
    small = np.concatenate([seven()[:82][::3, ::3], paper(4, 30)])
    strip = np.concatenate([small] * 60, axis=1)
    found = find_digits(strip, many=True)
    assert [digit.box[0] for digit in found] == pytest.approx([30 * place + 3 for place in range(60)], abs=2)
    assert all(distance(digit, only(small)) < 12 for digit in found)


def test_one_digit_in_a_very_wide_picture_keeps_its_shape() -> None:
    strip = np.concatenate([paper(120, 3000), seven(), paper(120, 3000)], axis=1)
    assert np.corrcoef(only(strip).ravel(), only(seven()).ravel())[0, 1] > 0.7  # shrunk to 512 it is 0.56


def test_what_looks_like_several_digits_is_counted() -> None:
    row = np.concatenate([seven(), seven(), seven()], axis=1)
    assert [digit.looks_like for digit in find_digits(row)] == [3]
    assert [digit.looks_like for digit in find_digits(row, many=True)] == [1, 1, 1]
    assert [digit.looks_like for digit in find_digits(seven())] == [1]


def test_many_keeps_a_five_and_its_bar_together_and_drops_specks() -> None:
    picture_HW4 = paper(160, 300)
    for left in (20, 160):
        picture_HW4[30:38, left + 8 : left + 60, :3] = 0  # the bar, apart from
        picture_HW4[44:120, left : left + 8, :3] = 0  # the stem
        picture_HW4[112:120, left : left + 50, :3] = 0
    picture_HW4[100:103, 250:253, :3] = 0
    found = find_digits(picture_HW4, many=True)
    assert [digit.box[0] for digit in found] == pytest.approx([20, 160], abs=2)


def test_a_dark_corner_is_not_part_of_the_digit() -> None:
    picture_HW4 = seven()
    corner = np.add.outer(np.arange(120), -np.arange(90)) > 75
    picture_HW4[corner] = (20, 20, 20, 255)
    assert np.abs(only(picture_HW4) - only(seven())).mean() < 2


def test_a_picture_of_one_pixel_and_one_of_one_line_are_no_error() -> None:
    assert find_digits(np.full((1, 1, 4), 255, np.uint8)) == []
    line_HW4 = np.full((1, 300, 4), 255, np.uint8)
    line_HW4[0, 100:110, :3] = 0
    assert len(find_digits(line_HW4)) == 1
