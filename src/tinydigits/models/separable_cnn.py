"""Narrow depthwise separable convolutions; widths, depths and repetitions are options."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

__all__ = ["SeparableCNN"]

Width = Annotated[int, Field(ge=1, le=256, json_schema_extra={"search": "int:log:8..64"})]
Depth = Annotated[int, Field(ge=1, le=16, json_schema_extra={"search": "int:1..6"})]


class SeparableCNN(nn.Module):
    """Separable 3×3 convolutions on 12×12, then on 4×4, each map weighed into one number: 2,950 parameters.

    >>> import torch
    >>> SeparableCNN(widths=(24, 40), depths=(4, 3))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10). `widths` are the channels of the two stages,
    `depths` their blocks, the step into a stage counted. `repeats` applies every block within a stage so many times,
    with shared convolutions and a BatchNorm of its own each time: more depth for hardly more parameters.

    The first layer strides, so nothing is computed at 28×28. Separable blocks: Howard et al. 2017 (MobileNets), without
    a norm between depthwise and pointwise. The depthwise convolution over the whole last map in place of average
    pooling: Chen et al. 2018 (MobileFaceNets). Shared depth: Köpüklü et al. 2019.
    """

    def __init__(
        self,
        *,
        widths: tuple[Width, Width] = (16, 20),
        depths: tuple[Depth, Depth] = (3, 2),
        repeats: Annotated[int, Field(ge=1, le=8, json_schema_extra={"search": "int:1..3"})] = 1,
    ) -> None:
        super().__init__()
        first, second = widths
        self.stem = nn.Sequential(  # 12×12
            nn.Conv2d(1, first, 5, stride=2, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
        self.fine = nn.Sequential(*(_Block(first, first, repeats=repeats) for _ in range(depths[0] - 1)))
        self.pool = nn.MaxPool2d(2)  # 6×6
        self.turn = _Block(first, second, padding=0)  # 4×4
        self.coarse = nn.Sequential(*(_Block(second, second, repeats=repeats) for _ in range(depths[1] - 1)))
        self.head = nn.Sequential(
            nn.Conv2d(second, second, 4, groups=second, bias=False), nn.Flatten(), nn.Linear(second, 10)
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        features = self.pool(self.fine(self.stem(images_BCHW)))
        return self.head(self.coarse(self.turn(features)))


class _Block(nn.Module):
    """Depthwise 3×3, pointwise, BatchNorm, ReLU; the convolutions serve `repeats` times, each with its own norm."""

    def __init__(self, num_in: int, num_out: int, padding: int = 1, repeats: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(num_in, num_in, 3, padding=padding, groups=num_in, bias=False)
        self.pointwise = nn.Conv2d(num_in, num_out, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(num_out) for _ in range(repeats))

    def forward(self, features: Tensor) -> Tensor:
        for norm in self.norms:
            features = F.relu(norm(self.pointwise(self.depthwise(features))), inplace=True)
        return features
