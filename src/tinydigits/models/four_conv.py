"""Four unpadded convolutions, two max-pools, two linear layers."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["FourConv"]


class FourConv(nn.Module):
    """Four 3×3 convolutions without padding and a two-layer head: 24,539 parameters.

    >>> import torch
    >>> FourConv()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10). Architecture of the published project
    "MNIST Classification with PyTorch" (four-conv in the results table); its layer list is met exactly.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3),  # 26×26
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 8, 3),  # 24×24
            nn.MaxPool2d(2),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 16, 3),  # 10×10
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 3),  # 8×8
            nn.MaxPool2d(2),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(32 * 4 * 4, 35), nn.ReLU(inplace=True), nn.Linear(35, 10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.head(self.features(images_BCHW))
