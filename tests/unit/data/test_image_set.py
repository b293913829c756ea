"""Sets check themselves; the splits are the same for ever."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from tinydigits.data import ImageSet, hold_out
from tinydigits.data.image_set import every_nth
from tinydigits.errors import TinydigitsError


def numbered(num: int, split: str = "train") -> ImageSet:
    """Image i holds the number i in its first two pixels; its label is i mod 10."""
    images_NHW = np.zeros((num, 28, 28), np.uint8)
    images_NHW[:, 0, 0], images_NHW[:, 0, 1] = np.arange(num) % 256, np.arange(num) // 256
    return ImageSet("numbered", split, images_NHW, (np.arange(num) % 10).astype(np.uint8), tuple("0123456789"))


def numbers(image_set: ImageSet) -> np.ndarray:
    return image_set.images_NHW[:, 0, 0] + 256 * image_set.images_NHW[:, 0, 1].astype(int)


def test_the_digest_is_of_the_images_bytes_and_then_the_labels():
    image_set = numbered(300)
    content = image_set.images_NHW.tobytes() + image_set.labels_N.tobytes()
    assert image_set.sha256 == hashlib.sha256(content).hexdigest()
    turned = np.asfortranarray(image_set.images_NHW)
    assert ImageSet("x", "test", turned, image_set.labels_N, image_set.classes).sha256 == image_set.sha256


@pytest.mark.parametrize(
    "images, labels, message",
    [
        (np.zeros((2, 28, 28)), np.zeros(2, np.uint8), "got float64 (2, 28, 28), expected images as uint8"),
        (np.zeros((2, 28, 27), np.uint8), np.zeros(2, np.uint8), "expected images as uint8 (N, 28, 28)"),
        (np.zeros((2, 28, 28), np.uint8), np.zeros(2, int), "got int64 (2,), expected labels as uint8 (N,)"),
        (np.zeros((2, 28, 28), np.uint8), np.zeros(3, np.uint8), "got 3 labels, expected 2"),
        (np.zeros((2, 28, 28), np.uint8), np.array([0, 2], np.uint8), "got label 2, expected 0 to 1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(images, labels, message):
    with pytest.raises(TinydigitsError) as caught:
        ImageSet("bad", "test", images, labels, ("a", "b"))
    assert str(caught.value).startswith("bad test: ") and message in str(caught.value)


def test_a_class_has_a_name_that_can_be_printed():
    images, labels = np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.uint8)
    with pytest.raises(TinydigitsError, match=r"bad test: got a class 'a\\x1b\[2J', expected a name of printable"):
        ImageSet("bad", "test", images, labels, ("カ\u3000タ", "a\x1b[2J"))
    assert ImageSet("good", "test", images, labels, ("カ\u3000タ", "😀")).classes[1] == "😀"


def test_held_out_images_and_the_rest_are_the_whole_in_order():
    whole = numbered(1000)
    train, validation = hold_out(whole, 150)
    assert (train.split, validation.split) == ("train", "validation")
    assert (len(train), len(validation)) == (850, 150)
    assert sorted([*numbers(train), *numbers(validation)]) == list(range(1000))
    for part in (train, validation):
        assert (np.diff(numbers(part)) > 0).all()
        assert np.array_equal(part.labels_N, numbers(part) % 10)
        assert (part.name, part.classes) == (whole.name, whole.classes)


def test_the_choice_is_fixed_for_ever():
    """These very images: a NumPy or a seed that chose others would change every published validation figure."""
    np.random.seed(5)  # noqa: NPY002  (a run's seed must not matter)
    _, validation = hold_out(numbered(1000), 8)
    assert numbers(validation).tolist() == [128, 163, 167, 234, 442, 471, 863, 962]


def test_a_larger_part_contains_the_smaller():
    whole = numbered(500)
    small, large = (set(numbers(hold_out(whole, num)[1])) for num in (20, 200))
    assert small < large


@pytest.mark.parametrize("num", [0, -1, 100, 101])
def test_an_impossible_number_is_refused(num):
    with pytest.raises(TinydigitsError, match=f"numbered: validation images: got {num}, expected 1 to 99 of 100"):
        hold_out(numbered(100), num)


def test_only_training_images_are_held_out():
    with pytest.raises(TinydigitsError, match="got the test split, expected the training split"):
        hold_out(numbered(100, "test"), 10)


def test_every_nth_is_stratified():
    labels_N = np.repeat(np.arange(4, dtype=np.uint8), [7, 6, 5, 0 + 12])
    chosen = every_nth(labels_N, 6)
    assert np.flatnonzero(chosen).tolist() == [5, 12, 23, 29]
