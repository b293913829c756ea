"""Eight convolutions that end in global average pooling."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

__all__ = ["GapCNN"]


class GapCNN(nn.Module):
    """Seven conv-ReLU-BatchNorm blocks, one bare convolution and global average pooling: 9,274 parameters.

    >>> import torch
    >>> GapCNN(dropout=0.0)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10). `dropout` acts once, before the first pool.
    Architecture of the published project "MNIST CNN Classifier with PyTorch"; its layer list is met exactly.
    """

    def __init__(
        self, *, dropout: Annotated[float, Field(ge=0, lt=1, json_schema_extra={"search": "0..0.5"})] = 0.01
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(1, 4),  # 28×28
            *_block(4, 4),
            *_block(4, 8),
            nn.Dropout(dropout),
            nn.MaxPool2d(2),  # 14×14
            *_block(8, 12),
            *_block(12, 12),
            *_block(12, 16),
            nn.MaxPool2d(2),  # 7×7
            *_block(16, 20, padding=0),  # 5×5
            nn.Conv2d(20, 10, 3),  # 3×3
            nn.AvgPool2d(3),
            nn.Flatten(),
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.features(images_BCHW)


def _block(num_in: int, num_out: int, padding: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(num_in, num_out, 3, padding=padding), nn.ReLU(inplace=True), nn.BatchNorm2d(num_out)
