"""Answers broken down: class by class, and by how sure the model was of them. Each a table: head, rows, alignment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinydigits import figures
from tinydigits.stats import wilson_interval

__all__ = ["Table", "calibration_table", "classes_table"]

Table = tuple[list[str], list[list[str]], str]


def classes_table(confusion_KK: np.ndarray, classes: Sequence[str]) -> Table:
    """Of each class: how much of it was found, how much of what was taken for it is right, what it was taken for.

    >>> classes_table(np.array([[9, 1], [0, 10]]), ["zero", "one"])[1][0]
    ['zero', '10', '90.00 %', '59.58 to 98.21 %', '100.00 %', 'one (1)']
    """
    rows = []
    for index, name in enumerate(classes):
        seen, answered = int(confusion_KK[index].sum()), int(confusion_KK[:, index].sum())
        right = int(confusion_KK[index, index])
        others = confusion_KK[index].copy()
        others[index] = 0
        most = int(others.argmax())
        rows.append([
            name, f"{seen:,}", figures.percent(right / seen) if seen else "–",
            figures.interval(wilson_interval(right, seen)) if seen else "–",
            figures.percent(right / answered) if answered else "–",
            f"{classes[most]} ({others[most]})" if others[most] else "none",
        ])  # fmt: skip
    return ["class", "images", "recall", "95 % interval", "precision", "most often taken for"], rows, "lrrrrl"


def calibration_table(reliability: np.ndarray) -> Table:
    """Of the images whose answers had about the same probability: what share of them was right.

    >>> calibration_table(np.array([[0, 10], [0, 9], [0, 9.5]]))[1]
    [['95.00 %', '10', '90.00 %', '59.58 to 98.21 %']]

    `reliability` has images, right answers and the sum of probabilities (3, bins).
    """
    rows = [
        [
            figures.percent(total / seen), f"{seen:,.0f}", figures.percent(right / seen),
            figures.interval(wilson_interval(round(right), round(seen))),
        ]
        for seen, right, total in reliability.T if seen
    ]  # fmt: skip
    return ["probability given, mean", "images", "of them right", "95 % interval"], rows, "rrrr"
