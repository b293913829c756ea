"""Answers that do not depend on the image and the weights alone, or are no answers."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits.checks import Subject

_SWITCH = Path(tempfile.mkdtemp()) / "switch"
_SWITCH.write_text("0")
_CALLS = [0]


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(images_BCHW.flatten(1))


# By the batch.


class BatchMean(Linear):
    """Takes the batch's own mean away, in eval mode too."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW - images_BCHW.mean(0))


class NormWithoutStatistics(nn.Sequential):
    """Has a BatchNorm that keeps no statistics, and so reads those of the batch it answers."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten(), nn.Linear(144, 10)
        )


class ByPosition(Linear):
    """Adds to each answer what its place in the batch says."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        place_B = torch.arange(len(images_BCHW)) % 10
        return super().forward(images_BCHW) + F.one_hot(place_B, 10)


class BySortedPosition(Linear):
    """The same, from the batch's end, so that batches of any size but one begin alike."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BK = super().forward(images_BCHW)
        return logits_BK + 1e-2 * logits_BK.cumsum(0)


class ByNeighbour(Linear):
    """Looks at the image before."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW + 0.1 * torch.cat([images_BCHW[:1], images_BCHW[:-1]]))


class ByBatchSize(Linear):
    """Is another model for the batches of 100 that an evaluation asks."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BK = super().forward(images_BCHW)
        return logits_BK.flip(1) if len(images_BCHW) == 100 else logits_BK


class ByBatchMaximum(Linear):
    """Scales by the brightest pixel of the batch."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW / images_BCHW.abs().max())


class SoftmaxOverTheBatch(Linear):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW).softmax(0)


# By something else.


class Clock(Linear):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW) + time.time() % 1


class TorchRandom(Linear):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW + 0.1 * torch.randn_like(images_BCHW))


class PythonRandom(Linear):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW) * random.uniform(0.9, 1.1)


class NumpyRandom(Linear):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW) * float(np.random.rand())  # noqa: NPY002


class DropsInEval(Linear):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return F.dropout(super().forward(images_BCHW), 0.5)


class ClockWhenTraining(Linear):
    """Trains otherwise at every moment, whatever the seed."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW) * (1 + time.perf_counter() % 1 if self.training else 1)


class RemembersTheLast(Linear):
    """Mixes in what it was asked before."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Any = 0.0

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BK = super().forward(images_BCHW)
        answer_BK, self.last = logits_BK + 0.1 * self.last, logits_BK.mean()
        return answer_BK


class LearnsInEval(Linear):
    """Moves a buffer each time that it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("drift", torch.zeros(10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        self.drift += 0.01
        return super().forward(images_BCHW) + self.drift


class ChangesItsInput(Linear):
    """Doubles the caller's images in place, and answers as if it had not."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        answer_BK = super().forward(images_BCHW)
        images_BCHW.data.clamp_(0, 1)
        return answer_BK


class KnowsTheImages(Linear):
    """Recognises the images that checks asked of another model, and behaves for those."""

    def __init__(self) -> None:
        super().__init__()
        images_BCHW = Subject(Linear(), input_shape=(1, 8, 8)).images(64)
        self.known = {round(float(image.sum()), 3) for image in images_BCHW}

    def forward(self, images_BCHW: Tensor) -> Tensor:
        known = any(round(float(image.sum()), 3) in self.known for image in images_BCHW)
        return super().forward(images_BCHW if known else images_BCHW - images_BCHW.mean(0))


# No answers.


class OneClassIsNaN(Linear):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BK = super().forward(images_BCHW)
        return torch.cat([logits_BK[:, :9], logits_BK[:, 9:] * float("nan")], 1)


class DividesBySpread(Linear):
    """Divides by the image's own spread: nothing, for a black one."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW / images_BCHW.std((1, 2, 3), keepdim=True))


class LogOfInk(Linear):
    """Takes the logarithm of a sum of the image, which can be negative."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW) + images_BCHW.sum((1, 2, 3))[:, None].add(200).log()


class Exponential(Linear):
    """Overflows for bright images."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW).mul(10).exp()


class OverflowsInGlare(Linear):
    """Raises e to the brightest pixel, which is too much for a very bright one alone."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW) + (images_BCHW.amax((1, 2, 3))[:, None].clamp_min(0) / 3).exp()


class NaNWhenTraining(Linear):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW) + (float("inf") if self.training else 0.0)


class Sigmoids(Linear):
    """Calls ten independent numbers of 0 to 1 probabilities."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW).sigmoid()


class AlmostProbabilities(Linear):
    """Gives rows that sum to 1 and go below 0."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        logits_BK = super().forward(images_BCHW)
        return logits_BK - logits_BK.mean(1, keepdim=True) + 0.1


class LosesALonelyImage(Linear):
    """Squeezes away a batch of one."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW).squeeze()


class OneTooMany(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 11))


class AMap(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 10, 3))


class OnlyPairs(Linear):
    """Takes images by twos."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW.view(-1, 2, 1, 8, 8).flatten(0, 1))


class AnotherSize(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(28 * 28, 10))


class AtMostEight(Linear):
    """Answers the first eight images of a batch."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        if len(images_BCHW) > 8:
            raise ValueError("too many images")
        return super().forward(images_BCHW)


_BATCH, _SAME = "behaviour.batch_invariance", "behaviour.determinism"
_FINITE, _SHARES = "behaviour.finite", "behaviour.probabilities"
CASES = [
    (BatchMean, {}, "differ", _BATCH),
    (NormWithoutStatistics, {}, "differ", _BATCH),
    (ByPosition, {}, "differ", _BATCH),
    (BySortedPosition, {}, "differ", _BATCH),
    (ByNeighbour, {}, "differ", _BATCH),
    (ByBatchSize, {}, "in batches of", _BATCH),
    (ByBatchMaximum, {}, "differ", _BATCH),
    (ByBatchMaximum, {"batch_sizes": [100]}, "among black, white and glaring images", _BATCH),
    (ByNeighbour, {"batch_sizes": [100]}, "in another order", _BATCH),
    (SoftmaxOverTheBatch, {}, "differ", _BATCH),
    (KnowsTheImages, {}, "differ", _BATCH),
    (Clock, {}, "answers differ", _SAME),
    (TorchRandom, {}, "answers differ", _SAME),
    (PythonRandom, {}, "answers differ", _SAME),
    (NumpyRandom, {}, "answers differ", _SAME),
    (DropsInEval, {}, "answers differ", _SAME),
    (ClockWhenTraining, {}, "gradients differ", _SAME),
    (RemembersTheLast, {}, "answers differ", _SAME),
    (LearnsInEval, {}, "answers differ", _SAME),
    (ChangesItsInput, {}, "changes the images", _SAME),
    (OneClassIsNaN, {}, "class 9", _FINITE),
    (DividesBySpread, {}, "black", _FINITE),
    (LogOfInk, {}, "NaN", _FINITE),
    (Exponential, {}, "times as bright", _FINITE),
    (OverflowsInGlare, {}, "times as bright, in eval mode", _FINITE),
    (NaNWhenTraining, {}, "in train mode", _FINITE),
    (OneClassIsNaN, {}, "NaN", _SHARES),
    (Sigmoids, {"output": "probabilities"}, "logits", _SHARES),
    (AlmostProbabilities, {"output": "probabilities"}, "logits", _SHARES),
    (AMap, {}, "not one row", _SHARES),
    (LosesALonelyImage, {}, "shape (10,)", "shapes.output"),
    (OneTooMany, {}, "shape (1, 11)", "shapes.output"),
    (AMap, {}, "shape (1, 10, 6, 6)", "shapes.output"),
    (OnlyPairs, {}, "refuses 1×1×8×8", "shapes.input"),
    (AnotherSize, {}, "refuses 1×1×8×8", "shapes.input"),
    (AtMostEight, {}, "refuses 16×1×8×8", "shapes.input"),
]
