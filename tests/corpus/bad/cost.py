"""Costs and receptive fields that are not what they seem, put to `model.multiply_adds` and `model.receptive_field`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Product(nn.Module):
    """Multiplies the 64 pixels by 64×10 weights in some other way than with a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 64) * 0.1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.product(images_BCHW.flatten(1))

    def product(self, x_BI: Tensor) -> Tensor:
        raise NotImplementedError


class BroadcastAndSum(Product):
    def product(self, x_BI: Tensor) -> Tensor:
        return (x_BI[:, None] * self.weight).sum(2)


class RepeatAndSum(Product):
    def product(self, x_BI: Tensor) -> Tensor:
        return (x_BI.repeat(1, 10).view(-1, 10, 64) * self.weight).sum(-1)


class Tensordot(Product):
    def product(self, x_BI: Tensor) -> Tensor:
        return torch.tensordot(x_BI, self.weight, dims=([1], [1]))


class Inner(Product):
    def product(self, x_BI: Tensor) -> Tensor:
        return torch.inner(x_BI, self.weight)


class Baddbmm(Product):
    def product(self, x_BI: Tensor) -> Tensor:
        zero = x_BI.new_zeros(1, x_BI.shape[0], 10)
        return torch.baddbmm(zero, x_BI[None], self.weight.T[None])[0]


class Distances(Product):
    def product(self, x_BI: Tensor) -> Tensor:
        return -torch.cdist(x_BI, self.weight)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(self.lstm(images_BCHW[:, 0])[0][:, -1])


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Bilinear(64, 64, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x_BI = images_BCHW.flatten(1)
        return self.layer(x_BI, x_BI)


class DearInEval(nn.Module):
    """Costs little when it trains and much when it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 10, 3, padding=1), nn.Linear(640, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        if self.training:
            return self.conv(images_BCHW[:, :, :3, :3]).amax((2, 3))
        return self.linear(self.conv(images_BCHW).flatten(1))


class SameLayerManyTimes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.linear = nn.Linear(64, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        for _ in range(20):
            images_BCHW = self.conv(images_BCHW)
        return self.linear(images_BCHW.flatten(1))


class Field(nn.Module):
    """A 3×3 window, read at one place, and a wide path that is not one."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = nn.Conv2d(1, 10, 3, padding=1), nn.Conv2d(1, 10, 3, padding=3, dilation=3)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return (self.near(images_BCHW) + self.wide(images_BCHW))[:, :, 4, 4]

    def wide(self, images_BCHW: Tensor) -> Tensor:
        return 0.0 * self.far(images_BCHW)


class WideByZero(Field):
    pass


class WideByNextToNothing(Field):
    def wide(self, images_BCHW: Tensor) -> Tensor:
        return 1e-12 * self.far(images_BCHW)


class WideAndTakenAway(Field):
    def wide(self, images_BCHW: Tensor) -> Tensor:
        far = self.far(images_BCHW)
        return far - far


class WideFrozenAtZero(Field):
    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.far.weight)
        self.far.requires_grad_(False)

    def wide(self, images_BCHW: Tensor) -> Tensor:
        return self.far(images_BCHW)


class WideInTrainingOnly(Field):
    def wide(self, images_BCHW: Tensor) -> Tensor:
        return self.far(images_BCHW) if self.training else torch.zeros(1)


class RolledPixels(nn.Module):
    """Claims a small field, and moves far pixels under its window."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(1, 10, 3, padding=1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.near(images_BCHW + images_BCHW.roll(3, 2) + images_BCHW.roll(3, 3))[:, :, 4, 4]


class GatheredPixels(nn.Module):
    """The same, by picking pixels one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(1, 10, 3, padding=1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        corners_BCHW = images_BCHW[:, :, [0, 7]][:, :, :, [0, 7]]
        return self.near(F.interpolate(corners_BCHW, size=(3, 3)))[:, :, 1, 1]


CASES = [
    *[
        (product, {"max": 600}, "640", "model.multiply_adds")
        for product in (BroadcastAndSum, RepeatAndSum, Tensordot, Inner, Baddbmm, Distances)
    ],
    (Recurrent, {"max": 600}, "lstm", "model.multiply_adds"),
    (Bilinear, {"max": 600}, "layer", "model.multiply_adds"),
    (DearInEval, {"max": 2_000}, "12,", "model.multiply_adds"),
    (SameLayerManyTimes, {"max": 2_000}, "conv", "model.multiply_adds"),
    (WideByZero, {"min": 7}, "reach 3×3", "model.receptive_field"),
    (WideByNextToNothing, {"min": 7}, "reach 3×3", "model.receptive_field"),
    (WideAndTakenAway, {"min": 7}, "reach 3×3", "model.receptive_field"),
    (WideFrozenAtZero, {"min": 7}, "reach 3×3", "model.receptive_field"),
    (WideInTrainingOnly, {"min": 7}, "3×3", "model.receptive_field"),
    (RolledPixels, {"max": 3}, "6×6", "model.receptive_field"),
    (GatheredPixels, {"max": 3}, "8×8", "model.receptive_field"),
]
