"""Six convolutions whose receptive field is exactly 29 pixels, down to 1×1."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Rf29CNN"]


class Rf29CNN(nn.Module):
    """Six 3×3 convolutions, receptive field 3, 5, 9, 13, 21, 29, to 1×1 and one linear layer: 24,702 parameters.

    >>> import torch
    >>> Rf29CNN()(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10). Built from the document of the published project
    "EfficientNN_Augmentation", which names the field and the 1×1 end; the widths are ours, chosen to stay under 25,000.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(1, 8),  # 26×26, field 3
            *_block(8, 16, stride=2, padding=1),  # 13×13, field 5
            *_block(16, 24),  # 11×11, field 9
            *_block(24, 24, stride=2),  # 5×5, field 13
            *_block(24, 28),  # 3×3, field 21
            *_block(28, 32),  # 1×1, field 29
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(32, 10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.head(self.features(images_BCHW))


def _block(num_in: int, num_out: int, stride: int = 1, padding: int = 0) -> tuple[nn.Module, ...]:
    return nn.Conv2d(num_in, num_out, 3, stride=stride, padding=padding), nn.BatchNorm2d(num_out), nn.ReLU(inplace=True)
