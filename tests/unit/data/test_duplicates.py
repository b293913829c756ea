"""Test images among training images are found, changed a little or not; honest sets have none."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conftest import Mnist
from tinydigits import data
from tinydigits.data.duplicates import Duplicates, find_duplicates

NUM_LEAKED = 300


def changed(images_NHW: np.ndarray, how: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    if how == "shifted by a pixel":
        return np.roll(images_NHW, (1, -1), axis=(1, 2))
    if how == "dimmed":
        return (images_NHW * 0.7).astype(np.uint8)
    noise = 255 * 0.05 * rng.normal(size=images_NHW.shape)
    return (images_NHW + noise).clip(0, 255).round().astype(np.uint8)


def test_honest_mnist_has_no_duplicates_and_changed_test_images_are_found(mnist: Mnist) -> None:
    # All sets in one search: it is the search, not the sets, that takes seconds.
    leaks = {"shifted by a pixel": 0.97, "dimmed": 0.99, "noisy": 0.95}
    parts = [mnist.train.images_NHW]
    test = mnist.test.images_NHW
    for number, how in enumerate(leaks):
        parts.append(changed(test[number * NUM_LEAKED : (number + 1) * NUM_LEAKED], how))
    parts.append(test[-1:])
    found = find_duplicates(np.concatenate(parts), test)
    assert found.exact == [(60_000 + 3 * NUM_LEAKED, 9_999)]
    for number, (how, share) in enumerate(leaks.items()):
        pairs = {(60_000 + index, index) for index in range(number * NUM_LEAKED, (number + 1) * NUM_LEAKED)}
        assert len(pairs & set(found.near)) >= share * NUM_LEAKED, how
    assert all(place >= 60_000 for place, _ in found.near), "an honest image was accused"


def test_a_leaked_image_is_found_however_often_it_was_added() -> None:
    train, test = (data.load("digits", split).images_NHW for split in ("train", "test"))
    copies = np.concatenate([np.roll(test[5:6], shift, axis=2) for shift in (-2, -1, 1, 2)])
    assert [index for _, index in find_duplicates(np.concatenate([train, copies]), test).near] == [5]


def test_how_close_strangers_come_is_read_from_the_sought_images() -> None:
    # Two strokes that differ by little are near each other, and yet not one the copy of the other.
    strokes = np.zeros((40, 28, 28), np.uint8)
    for number in range(40):
        strokes[number, 4:24, 12:15] = 255
        strokes[number, 4 + number % 20, 15 : 17 + number // 20] = 255
    sought, others = strokes[::2], strokes[1::2]
    assert find_duplicates(others, sought).near == []
    assert len(find_duplicates(np.concatenate([others, sought // 2]), sought).near) == len(sought)


@pytest.mark.parametrize("num_images", [1, 2])
def test_blank_and_single_images_are_no_duplicates(num_images: int) -> None:
    blank, train = np.zeros((num_images, 28, 28), np.uint8), data.load("digits", "train").images_NHW
    assert find_duplicates(train, blank) == Duplicates([], [])
