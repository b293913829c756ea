"""Narrow depthwise separable convolutions from 28×28 pixels on; widths, depths and repetitions are options."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

__all__ = ["SeparableCNN"]

Width = Annotated[int, Field(ge=1, le=256, json_schema_extra={"search": "int:log:4..64"})]
Depth = Annotated[int, Field(ge=0, le=16, json_schema_extra={"search": "int:0..4"})]
AtLeastOne = Annotated[int, Field(ge=1, le=16, json_schema_extra={"search": "int:1..5"})]


class SeparableCNN(nn.Module):
    """Separable 3×3 convolutions on 28×28, 14×14 and 7×7, each last map weighed into one number: 2,850 parameters.

    >>> import torch
    >>> SeparableCNN(widths=(8, 24, 32), depths=(1, 4, 3))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10). `widths` are the channels of the three stages,
    `depths` their separable blocks, the step into a stage counted; the first stage begins with a plain 3×3 layer
    besides. `repeats` applies every block within a stage so many times, with shared convolutions and a BatchNorm of its
    own each time: more depth for hardly more parameters.

    Under a limit of parameters, positions cost nothing: the first layers look at every pixel. In the last stage the
    first and the last block leave out the border, 7×7 → 5×5 → 3×3. Separable blocks: Howard et al. 2017 (MobileNets),
    without a norm between depthwise and pointwise. The depthwise convolution over the whole last map in place of
    average pooling: Chen et al. 2018 (MobileFaceNets). Shared depth: Köpüklü et al. 2019.
    """

    def __init__(
        self,
        *,
        widths: tuple[Width, Width, Width] = (8, 16, 20),
        depths: tuple[Depth, AtLeastOne, AtLeastOne] = (1, 3, 2),
        repeats: Annotated[int, Field(ge=1, le=8, json_schema_extra={"search": "int:1..3"})] = 1,
    ) -> None:
        super().__init__()
        first, second, third = widths
        self.stem = nn.Sequential(  # 28×28
            nn.Conv2d(1, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
        self.fine = nn.Sequential(*(_Block(first, first, repeats=repeats) for _ in range(depths[0])))
        self.middle = nn.Sequential(  # 14×14
            nn.MaxPool2d(2),
            _Block(first, second),
            *(_Block(second, second, repeats=repeats) for _ in range(depths[1] - 1)),
        )
        self.coarse = nn.Sequential(nn.MaxPool2d(2), _Block(second, third, padding=0))  # 7×7, 5×5
        for _ in range(depths[2] - 2):
            self.coarse.append(_Block(third, third, repeats=repeats))
        if depths[2] > 1:
            self.coarse.append(_Block(third, third, padding=0))  # 3×3
        side = 3 if depths[2] > 1 else 5
        self.head = nn.Sequential(
            nn.Conv2d(third, third, side, groups=third, bias=False), nn.Flatten(), nn.Linear(third, 10)
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        features = self.middle(self.fine(self.stem(images_BCHW)))
        return self.head(self.coarse(features))


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
