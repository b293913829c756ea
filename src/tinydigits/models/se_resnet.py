"""Depthwise separable residual blocks with squeeze-and-excitation."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

__all__ = ["SEResNet"]


class SEResNet(nn.Module):
    """Residual separable blocks, shared squeeze-and-excitation and bottleneck transitions: 17,600 parameters.

    >>> import torch
    >>> SEResNet()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10); widths 1→16→24→28→32→36→40→48. Built from the
    document of the published project "MNIST DNN Classifier with CI/CD Pipeline", whose own code has full 3×3
    convolutions and 85,884 parameters. Squeeze-and-excitation: Hu et al. 2018, with CBAM's shared perceptron over the
    average and the maximum (Woo et al. 2018).
    """

    def __init__(
        self, *, dropout: Annotated[float, Field(ge=0, lt=1, json_schema_extra={"search": "0..0.5"})] = 0.015
    ) -> None:
        super().__init__()
        self.stage1 = _Stage(1, 16, dropout, residual=True)  # 28×28
        self.transition1 = _transition(16, 24)  # 14×14
        self.stage2 = _Stage(24, 28, dropout, residual=True)
        self.transition2 = _transition(28, 32)  # 7×7
        self.stage3 = _Stage(32, 36, dropout, residual=False)
        self.tail = nn.Sequential(  # 5×5, then 3×3
            _separable(36, 40, dropout, padding=0), _separable(40, 48, dropout, padding=0)
        )
        self.head = nn.Sequential(
            nn.Conv2d(96, 32, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(32),
            nn.Conv2d(32, 10, 1, bias=False),
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        features = self.transition1(self.stage1(images_BCHW))
        features = self.transition2(self.stage2(features))
        features = self.tail(self.stage3(features))
        pooled = torch.cat([features.mean((2, 3), keepdim=True), features.amax((2, 3), keepdim=True)], dim=1)
        return self.head(pooled).flatten(1)


class _Stage(nn.Module):
    """A separable block, attention over its channels, and where `residual` a second block beside the identity."""

    def __init__(self, num_in: int, num_out: int, dropout: float, *, residual: bool) -> None:
        super().__init__()
        self.first = _separable(num_in, num_out, dropout)
        self.attention = _SqueezeExcite(num_out)
        self.second = _separable(num_out, num_out, dropout) if residual else None

    def forward(self, features: Tensor) -> Tensor:
        features = self.attention(self.first(features))
        return features if self.second is None else features + self.second(features)


class _SqueezeExcite(nn.Module):
    """One perceptron C → C/2 → C, applied to the average and to the maximum, added, squashed to a gate per channel."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(
            nn.Linear(num_channels, num_channels // 2, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(num_channels // 2, num_channels, bias=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        gate_BC = torch.sigmoid(self.perceptron(features.mean((2, 3))) + self.perceptron(features.amax((2, 3))))
        return features * gate_BC[:, :, None, None]


def _separable(num_in: int, num_out: int, dropout: float, padding: int = 1) -> nn.Sequential:
    width = max(num_in, num_out)
    return nn.Sequential(
        nn.Conv2d(num_in, width, 1, bias=False),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(width),
        nn.Conv2d(width, width, 3, padding=padding, groups=width, bias=False),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(width),
        nn.Dropout(dropout),
    )


def _transition(num_in: int, num_out: int) -> nn.Sequential:
    middle = (num_in + num_out) // 2
    return nn.Sequential(
        nn.Conv2d(num_in, middle, 1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(inplace=True),
        nn.Conv2d(middle, num_out, 1, bias=False),
        nn.BatchNorm2d(num_out),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )
