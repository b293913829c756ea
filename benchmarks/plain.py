"""The plain way to train on MNIST, as most projects write it: what the engine is measured against.

A Dataset that converts and normalises one image at a time, torch's DataLoader, and a loop that reads loss and accuracy
at every step.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from tinydigits.data import ImageSet

__all__ = ["ExampleNet", "PerImage", "train_epoch"]


class PerImage(Dataset):
    """What torchvision's MNIST with ToTensor and Normalize does, image by image; `change` acts on the picture."""

    def __init__(
        self, images: ImageSet, mean: float, std: float, change: Callable[[Image.Image], Image.Image] | None = None
    ) -> None:
        self.images, self.mean, self.std, self.change = images, mean, std, change

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        picture = Image.fromarray(self.images.images_NHW[index])
        if self.change is not None:
            picture = self.change(picture)
        pixels = torch.from_numpy(np.array(picture, copy=True))[None].to(torch.get_default_dtype()).div(255)
        return pixels.sub(self.mean).div(self.std), int(self.images.labels_N[index])


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader, *, after_step: Callable[[], object] = int,
    clip_norm: float | None = None,
) -> float:  # fmt: skip
    """One epoch; gives its seconds."""
    model.train()
    total_loss, correct = 0.0, 0
    started = time.perf_counter()
    for batch, labels in loader:
        optimizer.zero_grad()
        logits = model(batch)
        loss = cross_entropy(logits, labels)
        loss.backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        after_step()
        total_loss += loss.item()
        correct += (logits.argmax(1) == labels).sum().item()
    return time.perf_counter() - started


class ExampleNet(nn.Module):
    """The network that PyTorch's own MNIST example trains: 1,199,882 parameters.

    Two 3×3 convolutions without padding (32, 64 channels), one max-pool, dropout, a hidden layer of 128. The example
    trains it by Adadelta, learning rate 1, times 0.7 after each epoch, batches of 64
    (https://github.com/pytorch/examples, folder mnist).
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
        )  # fmt: skip

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.layers(images_BCHW)
