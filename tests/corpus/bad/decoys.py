"""Layers that are there in name only, put to `model.layers`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Base(nn.Module):
    """A convolution, what `middle` makes of its map, and a linear layer."""

    num_features = 4 * 36

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.dropout = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(self.num_features, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(self.middle(self.conv(images_BCHW)).flatten(1))

    def middle(self, x: Tensor) -> Tensor:
        return x


class NeverCalled(Base):
    """Constructs BatchNorm, Dropout and a pool, and calls none."""


class ThrownAway(Base):
    """Calls all three and discards what they give."""

    def middle(self, x: Tensor) -> Tensor:
        self.pool(self.dropout(self.norm(x)))
        return x


class TimesZero(Base):
    """Adds nothing times each of them."""

    def middle(self, x: Tensor) -> Tensor:
        return x + 0.0 * self.norm(x) + 0 * self.dropout(x) + self.pool(x) * 0.0


class TimesNextToNothing(Base):
    """Adds a billionth of each."""

    def middle(self, x: Tensor) -> Tensor:
        return x + 1e-9 * (self.norm(x) + self.dropout(x) + self.pool(x))


class TimesFrozenZero(Base):
    """Multiplies by a gate that starts at zero and that no training can open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(1), requires_grad=False)

    def middle(self, x: Tensor) -> Tensor:
        return x + self.gate * (self.norm(x) + self.dropout(x) + self.pool(x))


class AddedAndTakenAway(Base):
    """Adds what BatchNorm gives, and takes it away again."""

    def middle(self, x: Tensor) -> Tensor:
        normal, pooled = self.norm(x), self.pool(x)
        return x + 1e4 * normal - 1e4 * normal + pooled - pooled


class TwiceAndTheDifference(Base):
    """Calls each twice and keeps the difference, which is nothing."""

    def middle(self, x: Tensor) -> Tensor:
        return x + (self.norm(x) - self.norm(x)) + (self.pool(x) - self.pool(x))


class NeverSelected(Base):
    """Selects by a condition that is always false."""

    def middle(self, x: Tensor) -> Tensor:
        never = torch.zeros(1, dtype=torch.bool)
        return torch.where(never, self.norm(x) + self.dropout(x) + self.pool(x), x)


class OnlyInTraining(Base):
    """Normalises and pools in train mode, and leaves both out when it answers."""

    def middle(self, x: Tensor) -> Tensor:
        return x + self.pool(self.norm(x)) if self.training else x


class ZeroOnlyInEval(Base):
    """Keeps the calls in eval mode, and multiplies them by nothing there."""

    def middle(self, x: Tensor) -> Tensor:
        return x + (1.0 if self.training else 0.0) * (self.norm(x) + self.pool(x))


class NoDropout(Base):
    """Drops with probability zero."""

    def middle(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.0, self.training)


class HardlyAnyDropout(Base):
    """Drops one number in a billion."""

    def middle(self, x: Tensor) -> Tensor:
        return F.dropout(x, 1e-9, self.training)


class DropsEverything(Base):
    """Drops all of a branch, so that nothing of it is left."""

    def middle(self, x: Tensor) -> Tensor:
        return x + F.dropout(x, 1.0, self.training)


class DropsNothingThere(Base):
    """Drops numbers of a map that is zero everywhere."""

    def middle(self, x: Tensor) -> Tensor:
        return x + F.dropout(x * 0.0, 0.5, self.training)


class DropsInEvalOnly(Base):
    """Has the dropout of train mode switched off by its own argument."""

    def middle(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, training=False)


class FrozenNorm(Base):
    """Calls BatchNorm as it is in eval mode, also when it trains: a scale and a shift."""

    def middle(self, x: Tensor) -> Tensor:
        norm = self.norm
        return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False)


class NormKeptInEval(Base):
    """Puts its BatchNorm back into eval mode whenever it trains."""

    def train(self, mode: bool = True) -> Base:
        super().train(mode)
        self.norm.eval()
        return self

    def middle(self, x: Tensor) -> Tensor:
        return self.norm(x)


class NormOfConstants(Base):
    """Normalises numbers that do not come from the image."""

    def middle(self, x: Tensor) -> Tensor:
        return x + self.norm(torch.ones_like(x))


class PoolLeavesFour(Base):
    """Averages down to 2×2."""

    num_features = 16

    def middle(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 2)


class PoolLeavesRows(Base):
    """Averages over the columns only."""

    num_features = 24

    def middle(self, x: Tensor) -> Tensor:
        return x.mean(3)


class PoolMissesAnEdge(Base):
    """Averages all but the last rows and columns."""

    num_features = 4

    def middle(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 5, stride=5)


class PoolOfOnePixel(Base):
    """Averages a map of 1×1."""

    num_features = 4

    def middle(self, x: Tensor) -> Tensor:
        return self.pool(x[:, :, 2:3, 2:3])


class PoolOfConstants(Base):
    """Averages a map of ones."""

    def middle(self, x: Tensor) -> Tensor:
        return x + self.pool(torch.ones_like(x))


class PoolOfOneCorner(Base):
    """Sums a map of which a mask leaves one corner."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        mask = torch.zeros(6, 6)
        mask[0, 0] = 1
        self.register_buffer("mask", mask)

    def middle(self, x: Tensor) -> Tensor:
        return (x * self.mask).sum((2, 3))


class LinearAsEinsum(nn.Module):
    """Writes the linear layer that is forbidden as an einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 64) * 0.1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return torch.einsum("bi,oi->bo", images_BCHW.flatten(1), self.weight)


class LinearInEvalOnly(nn.Module):
    """Hides the forbidden layer from train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 10, 8), nn.Linear(64, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.conv(images_BCHW).flatten(1) if self.training else self.linear(images_BCHW.flatten(1))


def _needs(kind: str) -> dict[str, list[str]]:
    return {"require": [kind]}


CHECK = "model.layers"
CASES = [
    (NeverCalled, _needs("batch_norm"), "no batch_norm reaches the output"),
    (NeverCalled, _needs("dropout"), "no dropout reaches the output"),
    (NeverCalled, _needs("global_average_pool"), "no global_average_pool reaches the output"),
    (ThrownAway, _needs("batch_norm"), "no batch_norm reaches the output"),
    (ThrownAway, _needs("dropout"), "no dropout reaches the output"),
    (ThrownAway, _needs("global_average_pool"), "no global_average_pool reaches the output"),
    (TimesZero, _needs("batch_norm"), "norm has no effect"),
    (TimesZero, _needs("dropout"), "dropout has no effect"),
    (TimesZero, _needs("global_average_pool"), "pool has no effect"),
    (TimesNextToNothing, _needs("batch_norm"), "norm has no effect"),
    (TimesFrozenZero, _needs("batch_norm"), "norm has no effect"),
    (AddedAndTakenAway, _needs("batch_norm"), "norm has no effect"),
    (AddedAndTakenAway, _needs("global_average_pool"), "pool has no effect"),
    (TwiceAndTheDifference, _needs("batch_norm"), "norm has no effect"),
    (TwiceAndTheDifference, _needs("global_average_pool"), "pool has no effect"),
    (NeverSelected, _needs("dropout"), "dropout has no effect"),
    (OnlyInTraining, _needs("batch_norm"), "no batch_norm reaches the output in eval mode"),
    (OnlyInTraining, _needs("global_average_pool"), "no global_average_pool reaches the output in eval mode"),
    (ZeroOnlyInEval, _needs("batch_norm"), "no effect on the answers in eval mode"),
    (NoDropout, _needs("dropout"), "no dropout reaches the output"),
    (HardlyAnyDropout, _needs("dropout"), "no dropout reaches the output"),
    (DropsEverything, _needs("dropout"), "no dropout reaches the output"),
    (DropsNothingThere, _needs("dropout"), "has no effect"),
    (DropsInEvalOnly, _needs("dropout"), "no dropout reaches the output"),
    (FrozenNorm, _needs("batch_norm"), "no batch_norm reaches the output"),
    (NormKeptInEval, _needs("batch_norm"), "no batch_norm reaches the output"),
    (NormOfConstants, _needs("batch_norm"), "batch_norm"),
    (PoolLeavesFour, _needs("global_average_pool"), "no global_average_pool"),
    (PoolLeavesRows, _needs("global_average_pool"), "no global_average_pool"),
    (PoolMissesAnEdge, _needs("global_average_pool"), "no global_average_pool"),
    (PoolOfOnePixel, _needs("global_average_pool"), "no global_average_pool"),
    (PoolOfConstants, _needs("global_average_pool"), "global_average_pool"),
    (PoolOfOneCorner, _needs("global_average_pool"), "no global_average_pool"),
    (LinearAsEinsum, {"forbid": ["linear"]}, "linear at"),
    (LinearInEvalOnly, {"forbid": ["linear"]}, "linear at linear"),
]
