"""Six convolutions, two pools and a global average, for one epoch."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["SixConv"]


class SixConv(nn.Module):
    """Six 3×3 convolutions, each with BatchNorm and ReLU, two max-pools, global average: 24,938 parameters.

    >>> import torch
    >>> SixConv()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10). The first two layers look at all 28×28 pixels:
    under a limit of parameters, positions cost nothing. A pool stands before BatchNorm and ReLU, where it gives the
    same values as behind them (for BatchNorm scales above 0) for a quarter of their work.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(1, 16),  # 28×28
            *_block(16, 16, pool=True),  # 14×14
            *_block(16, 16),
            *_block(16, 24, pool=True),  # 7×7
            *_block(24, 32),
            *_block(32, 32),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.classifier = nn.Linear(32, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.classifier(self.features(images_BCHW))


def _block(num_in: int, num_out: int, *, pool: bool = False) -> list[nn.Module]:
    shrink = [nn.MaxPool2d(2)] if pool else []
    # No bias: BatchNorm subtracts the mean.
    return [
        nn.Conv2d(num_in, num_out, 3, padding=1, bias=False), *shrink, nn.BatchNorm2d(num_out), nn.ReLU(inplace=True)
    ]  # fmt: skip
