"""Models whose accuracy, speed, memory or training is not what is claimed, put to the checks that measure it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinydigits import data
from tinydigits.checks import Subject, Training
from tinydigits.data import ImageSet


def test_set() -> ImageSet:
    return data.load("digits", "test")


class Answers(nn.Module):
    """Knows the answer to each test image by the image itself; `spoil` makes something of the right logits."""

    def __init__(self) -> None:
        super().__init__()
        test = test_set()
        self.table = {self.key(image): int(label) for image, label in zip(test.images_NHW, test.labels_N, strict=True)}

    @staticmethod
    def key(image_HW: np.ndarray) -> str:
        return hashlib.sha256(image_HW.tobytes()).hexdigest()

    def forward(self, images_BCHW: Tensor) -> Tensor:
        pixels_NHW = (images_BCHW[:, 0] * 255).round().to(torch.uint8).numpy()
        labels = [self.table.get(self.key(image), 0) for image in pixels_NHW]
        return self.spoil(20.0 * nn.functional.one_hot(torch.tensor(labels), 10).float())

    def spoil(self, logits_BK: Tensor) -> Tensor:
        return logits_BK


class NanForOneClass(Answers):
    def spoil(self, logits_BK: Tensor) -> Tensor:
        return torch.where(logits_BK.argmax(1, keepdim=True) == 3, torch.nan, logits_BK)


class NeverSaysNine(Answers):
    def spoil(self, logits_BK: Tensor) -> Tensor:
        return logits_BK - 100 * (torch.arange(10) == 9)


class TakesSevenForOne(Answers):
    def spoil(self, logits_BK: Tensor) -> Tensor:
        return logits_BK + 50 * torch.eye(10)[1] * (logits_BK.argmax(1, keepdim=True) == 7)


class Timid(Answers):
    def spoil(self, logits_BK: Tensor) -> Tensor:
        return logits_BK / 100


class SureOfMistakes(Answers):
    def spoil(self, logits_BK: Tensor) -> Tensor:
        return logits_BK.roll(1, dims=1)


def claimed(model: type[nn.Module]) -> Callable[[], Subject]:
    """A trained subject that is asked the bundled digits, whatever source is named."""

    def made() -> Subject:
        return Subject(
            model(), name=model.__name__, mean=0.0, std=1.0, trained=True,
            load_images=lambda source, split: data.load("digits", split),
        )  # fmt: skip

    made.__name__ = model.__name__
    return made


def elsewhere(model: type[nn.Module]) -> Callable[[], Subject]:
    """A subject that another process can build anew."""
    return lambda: Subject(model(), input_shape=(1, 8, 8), rebuild=model)


class SleepsAfterTheFirstCalls(nn.Module):
    """Quick while somebody looks: from the 30th call on it takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images_BCHW: Tensor) -> Tensor:
        self.calls += 1
        time.sleep(0.05 if self.calls > 30 else 0)
        return images_BCHW.flatten(1)[:, :10]


class SleepsNowAndThen(SleepsAfterTheFirstCalls):
    """Slow at every fifth call: the mean hides it, a percentile does not."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        self.calls += 1
        time.sleep(0.05 if self.calls % 5 == 0 else 0)
        return images_BCHW.flatten(1)[:, :10]


class MakesLargeMaps(nn.Module):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW.repeat(1, 400_000, 1, 1).mean(1).flatten(1)[:, :10]


class KeepsEveryAnswer(nn.Module):
    """Grows by 20 MB at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Tensor] = []

    def forward(self, images_BCHW: Tensor) -> Tensor:
        self.kept.append(torch.ones(5_000_000))
        return images_BCHW.flatten(1)[:, :10]


class Saturated(nn.Module):
    """Weights so large that every unit of the middle is at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, 10)
        nn.init.constant_(self.first.bias, 1e4)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.second(self.first(images_BCHW.flatten(1)).sigmoid())


class OneNumber(nn.Module):
    """Squeezes a picture into a single number that is 0 or 1: two kinds of picture, not ten."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.head((images_BCHW.mean((1, 2, 3)) > 0).float()[:, None])


def leaking(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[], Subject]:
    """A run on training images to which changed test images were added."""

    def made() -> Subject:
        train, test = data.load("digits", "train"), test_set()
        added_NHW = change(test.images_NHW[:100])
        mixed = ImageSet(
            "mixed", "train", np.concatenate([train.images_NHW, added_NHW]),
            np.concatenate([train.labels_N, test.labels_N[:100]]), train.classes,
        )  # fmt: skip
        training = Training(1, len(mixed), len(mixed), 0)
        sets = {"train": mixed, "test": test}
        origin = data.Origin("mixed", mixed.sha256)
        return Subject(
            nn.Flatten(), training=training, trained_on=origin, load_images=lambda source, split: sets[split]
        )

    made.__name__ = getattr(change, "__name__", "leaking")
    return made


def as_they_are(images_NHW: np.ndarray) -> np.ndarray:
    return images_NHW


def shifted_by_two(images_NHW: np.ndarray) -> np.ndarray:
    return np.roll(images_NHW, 2, axis=1)


def dimmed(images_NHW: np.ndarray) -> np.ndarray:
    return images_NHW // 2


def noisy(images_NHW: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 8, images_NHW.shape)
    return (images_NHW + noise).clip(0, 255).astype(np.uint8)


def untrue(**facts: Any) -> Callable[[], Subject]:
    return lambda: Subject(nn.Flatten(), training=replace(Training(1, 60_000, 60_000, 0, seconds=10.0), **facts))


BASELINE = claimed(Answers)


def worse(model: type[nn.Module]) -> Callable[[], Subject]:
    def made() -> Subject:
        return replace(claimed(model)(), baseline=lambda run: BASELINE())

    made.__name__ = model.__name__
    return made


LATENCY = {"max_ms": 1, "percentile": 95, "budget_seconds": 2, "runs": 100}
CASES = (
    (claimed(NanForOneClass), {"min": 0.9}, "of class 3", "accuracy.per_class"),
    (claimed(NeverSaysNine), {"min": 0.9}, "of class 9", "accuracy.per_class"),
    (claimed(TakesSevenForOne), {"min": 0.9}, "most often taken for 1", "accuracy.per_class"),
    (claimed(NeverSaysNine), {"min": 0.95}, "% interval", "accuracy"),
    (claimed(SureOfMistakes), {"min": 0.5}, "0.00 %", "accuracy"),
    (claimed(Timid), {"max": 0.1}, "too unsure", "accuracy.calibration"),
    (claimed(SureOfMistakes), {"max": 0.1}, "too sure", "accuracy.calibration"),
    # It memorised the test images: a picture that is moved or changed is another to it.
    (claimed(Answers), {"min": 0.9}, "unchanged 100.00 %", "accuracy.shifted"),
    (claimed(NeverSaysNine), {"min": 0.9}, "under every shift", "accuracy.shifted"),
    (claimed(Answers), {"min": 0.9, "severity": 1}, "unchanged 100.00 %", "accuracy.corrupted"),
    (claimed(Answers), {"min_each": 0.9, "corruptions": ["noise"], "severity": 1}, "noise", "accuracy.corrupted"),
    (worse(NeverSaysNine), {"run": "before"}, "McNemar", "accuracy.baseline"),
    (worse(TakesSevenForOne), {"run": "before", "margin": 0.01}, "McNemar", "accuracy.baseline"),
    (elsewhere(SleepsAfterTheFirstCalls), LATENCY, "noise", "latency"),
    (elsewhere(SleepsNowAndThen), LATENCY, "noise", "latency"),
    (elsewhere(MakesLargeMaps), {"max_mb": 60, "count": "model"}, "came with the model", "memory"),
    (elsewhere(KeepsEveryAnswer), {"max_mb": 300, "count": "model"}, "came with the model", "memory"),
    (Saturated, {"steps": 100}, "loss", "behaviour.overfit_batch"),
    (OneNumber, {"steps": 100}, "loss", "behaviour.overfit_batch"),
    (leaking(as_they_are), {}, "100 exact", "training.no_test_images"),
    (leaking(shifted_by_two), {}, "0 exact", "training.no_test_images"),
    (leaking(dimmed), {}, "0 exact", "training.no_test_images"),
    (leaking(noisy), {}, "0 exact", "training.no_test_images"),
    (untrue(images_seen=60_001), {"max": 60_000}, "60,001", "training.images_seen"),
    (untrue(finished=False), {"max": 60_000}, "did not finish", "training.images_seen"),
    (untrue(images_seen=120_000), {"max": 1}, "does not add up", "training.epochs"),
    (untrue(seconds=3_600.0), {"max": 60}, "3600.0 s", "training.seconds"),
    (untrue(finished=False), {"max": 60}, "did not finish", "training.seconds"),
)  # fmt: skip
