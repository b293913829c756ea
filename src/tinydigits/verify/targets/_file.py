"""What targets that are whole files (graph and weights together) share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["NO_TRAIN_MODE", "in_batches"]

NO_TRAIN_MODE = "holds the graph of eval mode alone: there are no train mode and no gradients to ask"


def in_batches(model: Callable[[Tensor], Tensor], images: Tensor, batch_size: int | None) -> Tensor:
    """Ask a model that takes batches of one size only; the last batch is filled up with its own last image."""
    if batch_size is None or len(images) == batch_size:
        return model(images)
    answers = []
    for part in images.split(batch_size):
        missing = batch_size - len(part)
        whole = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
        answers.append(model(whole)[: len(part)])
    return torch.cat(answers)
