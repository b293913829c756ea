"""Weight averaging: SWA (Izmailov et al. 2018) and the exponential moving average, over torch's AveragedModel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from tinydigits.recipe.fields import EmaPart, SwaPart

__all__ = ["Average"]


class Average:
    """The running average of a model's weights, told after every step and every epoch.

    >>> import torch
    >>> from tinydigits.recipe.fields import EmaPart
    >>> model = torch.nn.Linear(1, 1)
    >>> average = Average(model, EmaPart(name="ema", decay=0.5))
    >>> average.after_step(1); average.model is model
    False

    `model` is the averaged model once averaging has begun, else the trained one. With `plain`, weights without an
    average are copied once `measure_statistics` is called, so that the trained model keeps its own statistics.
    """

    def __init__(self, model: nn.Module, part: SwaPart | EmaPart | None, *, plain: bool = False) -> None:
        self._trained, self._part = model, part
        self._averaged: AveragedModel | None = None
        if isinstance(part, EmaPart):
            # Buffers too: BatchNorm's statistics belong to the weights that they were measured with.
            average_function = get_ema_multi_avg_fn(part.decay)
            self._averaged = AveragedModel(model, multi_avg_fn=average_function, use_buffers=True)
        elif isinstance(part, SwaPart) or plain:
            self._averaged = AveragedModel(model)

    @property
    def model(self) -> nn.Module:
        """The model whose weights are kept: the average if there is one yet, else the trained model."""
        if self._averaged is None or int(self._averaged.n_averaged) == 0:
            return self._trained
        return self._averaged.module

    @property
    def needs_statistics(self) -> bool:
        """Whether BatchNorm's statistics must be measured anew before `model` can be used."""
        return isinstance(self._part, SwaPart) and self.model is not self._trained

    def after_step(self, step: int) -> None:
        """Count one optimizer step; steps are counted from 1 over the whole training."""
        if isinstance(self._part, EmaPart) and self._averaged is not None and step % self._part.every == 0:
            self._averaged.update_parameters(self._trained)

    def after_epoch(self, epoch: int) -> None:
        """Count one epoch, from 1."""
        if isinstance(self._part, SwaPart) and self._averaged is not None and epoch > self._part.start_epoch:
            self._averaged.update_parameters(self._trained)

    def measure_statistics(self, batches_BCHW: Iterable[Tensor]) -> None:
        """Measure BatchNorm's statistics of the averaged weights (without an average, the trained) on batches."""
        assert self._averaged is not None
        if self.model is self._trained:
            self._averaged.update_parameters(self._trained)
        with torch.random.fork_rng(devices=[]):  # dropout draws; the training's own stream must not notice
            update_bn(batches_BCHW, self._averaged.module)

    def state_dict(self) -> dict[str, Any]:
        """The average's state, for a checkpoint."""
        return {} if self._averaged is None else self._averaged.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict()` gave."""
        if self._averaged is not None:
            self._averaged.load_state_dict(state)
