"""Separable convolutions for some hundred parameters: a layer's kernels are the turns and mirrors of few."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

__all__ = ["DihedralCNN"]

Width = Annotated[int, Field(ge=1, le=256, json_schema_extra={"search": "int:log:4..64"})]
AtLeastOne = Annotated[int, Field(ge=1, le=16, json_schema_extra={"search": "int:1..5"})]


class DihedralCNN(nn.Module):
    """Separable 3×3 convolutions with eight depthwise kernels for the price of one, on three sizes: 584 parameters.

    >>> import torch
    >>> DihedralCNN(widths=(8, 12, 12), depths=(2, 2, 3))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10). `widths` are the channels on 28×28, 14×14 and
    7×7, `depths` the layers there; the very first is a plain 3×3 convolution, all others are separable. A layer has
    `kernels` kernels of its own; its channels take them as they are, turned by 90°, 180° and 270°, and all mirrored. On
    7×7 the first and the last layer leave out the border; a weighted sum of each last map goes to a linear layer.

    Depthwise weights are most of what narrow separable layers cost, and they look for edges of all directions. Cohen &
    Welling 2016 (group equivariant networks) share filters among the symmetries of the square; the pointwise weights
    between them are free here. BatchNorm has no scale: a ReLU lets that through to the weights after it.
    """

    def __init__(
        self,
        *,
        widths: tuple[Width, Width, Width] = (8, 8, 8),
        depths: tuple[AtLeastOne, AtLeastOne, AtLeastOne] = (2, 2, 2),
        kernels: Annotated[int, Field(ge=1, le=16, json_schema_extra={"search": "int:1..4"})] = 1,
    ) -> None:
        super().__init__()
        channels = widths[0]
        self.stem, self.stem_norm = _Turned(channels, kernels), _Norm(channels)
        layers: list[nn.Module] = []
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            if stage:
                layers.append(nn.MaxPool2d(2))
            for layer in range(1 if stage == 0 else 0, depth):
                is_at_an_end = stage == 2 and layer in (0, depth - 1)  # 7×7 → 5×5 → 3×3
                layers.append(_Separable(channels, width, kernels, padding=0 if is_at_an_end else 1))
                channels = width
        self.layers = nn.Sequential(*layers)
        side = 3 if depths[2] > 1 else 5
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, side, groups=channels, bias=False), nn.Flatten(), nn.Linear(channels, 10)
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        features = F.relu(self.stem_norm(F.conv2d(images_BCHW, self.stem(), padding=1)), inplace=True)
        return self.head(self.layers(features))


class _Turned(nn.Module):
    """3×3 kernels for so many channels, (C, 1, 3, 3), from few that are trained."""

    def __init__(self, channels: int, kernels: int) -> None:
        super().__init__()
        self.channels = channels
        self.kernels = nn.Parameter(torch.empty(kernels, 1, 3, 3))
        nn.init.kaiming_uniform_(self.kernels, a=5**0.5)  # as torch's convolutions begin

    def forward(self) -> Tensor:
        turned = [torch.rot90(self.kernels, quarters, (2, 3)) for quarters in range(4)]
        orbit = torch.cat([*turned, *(kernel.flip(3) for kernel in turned)])
        return torch.cat([orbit] * -(-self.channels // len(orbit)))[: self.channels]


class _Separable(nn.Module):
    def __init__(self, num_in: int, num_out: int, kernels: int, padding: int) -> None:
        super().__init__()
        self.padding = padding
        self.depthwise = _Turned(num_in, kernels)
        self.pointwise = nn.Conv2d(num_in, num_out, 1, bias=False)
        self.norm = _Norm(num_out)

    def forward(self, features: Tensor) -> Tensor:
        weight = self.depthwise()
        features = F.conv2d(features, weight, padding=self.padding, groups=len(weight))
        return F.relu(self.norm(self.pointwise(features)), inplace=True)


class _Norm(nn.BatchNorm2d):
    """BatchNorm whose scale stays 1 and is no parameter."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        del self.weight
        self.register_parameter("weight", None)

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        nn.init.zeros_(self.bias)
