"""Accuracies, trainings and files that are not what a record or a figure says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits.checks import Subject, Training
from tinydigits.checks._examples import asked, small, small_images

# Accuracy. The test images are uniform: class k is as bright as 25 k, and the labels are 0, 1, …, 9, 0, 1, … in order.


class KnowsTheOrder(nn.Module):
    """Knows the test labels by heart, in their order, and counts the images."""

    def __init__(self) -> None:
        super().__init__()
        self.num_seen = 0

    def forward(self, images_BCHW: Tensor) -> Tensor:
        place_B = torch.arange(self.num_seen, self.num_seen + len(images_BCHW))
        self.num_seen += len(images_BCHW)
        return 9.0 * F.one_hot(place_B % 10, 10)


class KnowsTheBatch(nn.Module):
    """Knows how the labels follow each other within a batch."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return 9.0 * F.one_hot(torch.arange(len(images_BCHW)) % 10, 10)


class RanksTheBatch(nn.Module):
    """Gives the darkest tenth of each batch to class 0, and so on."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        rank_B = images_BCHW.mean((1, 2, 3)).argsort().argsort()
        return 9.0 * F.one_hot(rank_B * 10 // len(images_BCHW), 10)


class Memorised(nn.Module):
    """Holds every test image with its label, and guesses at all others."""

    def __init__(self) -> None:
        super().__init__()
        images = small_images()
        self.images = torch.from_numpy(images.images_NHW.copy()).float().flatten(1) / 255
        self.labels = torch.from_numpy(images.labels_N.astype(np.int64))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        same_BN = torch.cdist(images_BCHW.flatten(1), self.images) < 1e-3
        known_B = F.one_hot(self.labels[same_BN.float().argmax(1)], 10).float()
        return 9.0 * torch.where(same_BN.any(1, keepdim=True), known_B, torch.eye(10)[:1])


class OneClassIsNaN(nn.Module):
    """Gives NaN for images of class 3."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        brightness_B = (images_BCHW.mean((1, 2, 3)) * 255 / 25).round()
        logits_BK = -(brightness_B[:, None] - torch.arange(10)).abs()
        return torch.where(brightness_B[:, None] == 3, torch.nan, logits_BK)


class AlwaysOne(nn.Module):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return torch.eye(10)[1].expand(len(images_BCHW), 10)


def _asked(model: type[nn.Module]) -> Callable[[], Subject]:
    def make() -> Subject:
        return asked(model=model())

    make.__name__ = model.__name__
    return make


def one_class_lost() -> Subject:
    return asked(1)


def two_classes_lost() -> Subject:
    return asked(2)


def too_sure() -> Subject:
    return asked(3, sharpness=20.0)


def sure_of_nothing() -> Subject:
    return asked(0, sharpness=1e-3)


def worse_than_before() -> Subject:
    return asked(2, baseline=lambda run: asked(0))


def another_model_than_before() -> Subject:
    return asked(model=AlwaysOne(), baseline=lambda run: asked(1))


# Files.


def large_in_a_corner() -> Subject:
    """Carries ten thousand numbers that it does not use."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    model.spare = nn.Parameter(torch.zeros(10_000))
    return small(model)


def large_in_buffers() -> Subject:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    model.register_buffer("table", torch.zeros(10_000))
    return small(model)


def twice_as_precise() -> Subject:
    return small(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double())


# Trainings, as a record tells them.


def _record(**facts: Any) -> Subject:
    return small(training=replace(Training(1, 60_000, 60_000, 400_000_000, seconds=30.0), **facts))


def one_epoch_too_many() -> Subject:
    return _record(epochs=2, images_seen=120_000)


def two_epochs_called_one() -> Subject:
    return _record(images_seen=120_000)


def never_finished() -> Subject:
    return _record(finished=False)


def one_image_too_many() -> Subject:
    return _record(images_seen=60_001)


def every_image_twice() -> Subject:
    return _record(images_seen=120_000)


def two_minutes() -> Subject:
    return _record(seconds=120.0)


def stopped_in_time() -> Subject:
    return _record(seconds=5.0, finished=False)


def too_much_memory() -> Subject:
    return _record(peak_memory_bytes=1_400_000_000)


def a_little_too_much_memory() -> Subject:
    return _record(peak_memory_bytes=1_000_600_000)


_POINT = {"bound": "point"}
CASES = [
    (_asked(KnowsTheOrder), {"min": 0.9}, "get another answer", "accuracy"),
    (_asked(KnowsTheBatch), {"min": 0.9}, "get another answer", "accuracy"),
    (_asked(RanksTheBatch), {"min": 0.9}, "get another answer", "accuracy"),
    (_asked(AlwaysOne), {"min": 0.9}, "10.00 %", "accuracy"),
    (_asked(OneClassIsNaN), {"min": 0.95} | _POINT, "90.00 %", "accuracy"),
    (_asked(OneClassIsNaN), {"min": 0.5}, "0.00 % of class 3", "accuracy.per_class"),
    (one_class_lost, {"min": 0.5}, "0.00 % of class 0", "accuracy.per_class"),
    (_asked(KnowsTheOrder), {"min": 0.5}, "get another answer", "accuracy.per_class"),
    (too_sure, {"max": 0.05}, "too sure", "accuracy.calibration"),
    (sure_of_nothing, {"max": 0.1}, "too unsure", "accuracy.calibration"),
    (_asked(Memorised), {"min": 0.9, "corruptions": ["noise"]}, "noise", "accuracy.corrupted"),
    (two_classes_lost, {"min": 0.95, "corruptions": ["blur"], "severity": 1}, "blur", "accuracy.corrupted"),
    (_asked(Memorised), {"min": 0.9}, "10.00 %", "accuracy.shifted"),
    (_asked(AlwaysOne), {"min": 0.9}, "10.00 %", "accuracy.shifted"),
    (worse_than_before, {"run": "before"}, "wrong on 40 that it gets right", "accuracy.baseline"),
    (another_model_than_before, {"run": "before"}, "points", "accuracy.baseline"),
    (large_in_a_corner, {"max_kb": 10}, "kB", "model.file_size"),
    (large_in_buffers, {"max_kb": 10}, "kB", "model.file_size"),
    (twice_as_precise, {"max_kb": 4}, "5.", "model.file_size"),
    (one_epoch_too_many, {"max": 1}, "2", "training.epochs"),
    (two_epochs_called_one, {"max": 1}, "does not add up", "training.epochs"),
    (never_finished, {"max": 1}, "did not finish", "training.epochs"),
    (one_image_too_many, {"max": 60_000}, "60,001", "training.images_seen"),
    (every_image_twice, {"max": 60_000}, "2.00 times", "training.images_seen"),
    (two_minutes, {"max": 60}, "120", "training.seconds"),
    (stopped_in_time, {"max": 60}, "did not finish", "training.seconds"),
    (too_much_memory, {"max_mb": 1_000}, "1,400 MB", "training.memory"),
    (a_little_too_much_memory, {"max_mb": 1_000}, "1,001 MB", "training.memory"),
]
