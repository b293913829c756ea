"""Corrupted and shifted images: the same for everybody, worse with severity, and still of the same classes."""

from __future__ import annotations

import numpy as np
import pytest

from tinydigits import data
from tinydigits.checks._corruptions import NAMES, corrupt
from tinydigits.checks.accuracy_shifted import shift


@pytest.mark.parametrize("name", NAMES)
def test_a_corruption_is_the_same_each_time_and_grows_with_severity(name: str) -> None:
    test = data.load("digits", "test")
    changes = []
    for severity in (1, 3, 5):
        changed = corrupt(test, name, severity)
        assert np.array_equal(changed.images_NHW, corrupt(test, name, severity).images_NHW)
        assert np.array_equal(changed.labels_N, test.labels_N)
        difference_N = np.abs(changed.images_NHW.astype(int) - test.images_NHW).mean(axis=(1, 2))
        assert (difference_N > 0).mean() > (0.5 if name == "occlusion" else 0.95)  # a box may fall on black
        changes.append(difference_N.mean())
    assert changes == sorted(changes) and (name == "inversion" or changes[0] < changes[1] < changes[2])


def test_a_shift_moves_whole_pixels_and_brings_in_black() -> None:
    test = data.load("digits", "test")
    moved_NHW = shift(test, 2, -1).images_NHW
    assert np.array_equal(moved_NHW[:, 2:, :-1], test.images_NHW[:, :-2, 1:])
    assert not moved_NHW[:, :2].any() and not moved_NHW[:, :, -1].any()
