"""What targets that are whole files (graph and weights together) share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tinydigits.errors import TinydigitsError, first_line

__all__ = ["NO_TRAIN_MODE", "in_batches", "must_answer"]

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


def must_answer(model: Any) -> None:
    """Ask once, as the file itself says that it is asked; raises TinydigitsError where no answer comes.

    A file that does not say it is asked by the checks alone, which know more.
    """
    if model.input_shape is None:
        return
    levels = torch.rand(model.batch_size or 2, *model.input_shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            model((levels * 255 if model.dtype == torch.uint8 else levels).to(model.dtype))
    except Exception as error:  # of a library: too much memory, sizes that do not fit
        raise TinydigitsError("its graph", f"gives no answer: {first_line(error)}") from error
