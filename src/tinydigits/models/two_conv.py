"""Two padded convolutions with max-pools and a two-layer head."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

__all__ = ["TwoConv"]


class TwoConv(nn.Module):
    """Two 3×3 convolutions, each with a max-pool, and a two-layer head with dropout: 13,242 parameters.

    >>> import torch
    >>> TwoConv(dropout=0.25)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10). Architecture of the published project
    "MNIST Classification with PyTorch" (two-conv in the results table), whose document says 14,410 parameters.
    """

    def __init__(
        self, *, dropout: Annotated[float, Field(ge=0, lt=1, json_schema_extra={"search": "0..0.5"})] = 0.005
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),  # 14×14
            nn.Conv2d(4, 8, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),  # 7×7
        )
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(8 * 7 * 7, 32), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(32, 10)
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.head(self.features(images_BCHW))
