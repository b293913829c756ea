"""Learning-rate schedules: the rate as a function of where the training stands."""

from __future__ import annotations

import math
from typing import Any

from torch.optim import Optimizer

from tinydigits.recipe.fields import CosineSchedule, OneCycleSchedule, PlateauSchedule, Recipe, SwaPart

__all__ = ["Schedule"]


class Schedule:
    """The learning rate (and momentum) of every step of a recipe.

    >>> import tinydigits.recipe
    >>> schedule = Schedule(tinydigits.recipe.load("se-resnet"), steps_per_epoch=[100] * 20)
    >>> [round(schedule.lr_at(epoch, 0), 6) for epoch in (1, 2, 11, 12, 20)]
    [0.003, 0.002927, 1e-06, 2.5e-05, 0.000976]

    `steps_per_epoch` counts the optimizer's steps in each epoch. Epochs count from 1, steps within an epoch from 0. The
    rate is a function of the position alone; only the plateau schedule remembers something, in `state_dict()`.
    """

    def __init__(self, recipe: Recipe, steps_per_epoch: list[int]) -> None:
        self.recipe, self.steps_per_epoch = recipe, steps_per_epoch
        self.num_steps = sum(steps_per_epoch)
        self._steps_before = [sum(steps_per_epoch[:epoch]) for epoch in range(len(steps_per_epoch))]
        self._plateau_factor, self._best_loss, self._bad_epochs = 1.0, math.inf, 0

    def apply(self, optimizer: Optimizer, epoch: int, step: int) -> float:
        """Set the optimizer's rate and momentum for one step; gives the rate."""
        lr, momentum = self.lr_at(epoch, step), self.momentum_at(epoch, step)
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)
            if momentum is not None and "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            elif momentum is not None:
                group["momentum"] = momentum
        return lr

    def lr_at(self, epoch: int, step: int) -> float:
        """The learning rate of one step."""
        average = self.recipe.average
        if isinstance(average, SwaPart) and average.lr is not None and epoch > average.start_epoch:
            progress = min(1.0, (epoch - average.start_epoch - 1) / average.anneal_epochs)
            return _cosine(self._base_lr(average.start_epoch + 1, 0), average.lr, progress)
        return self._base_lr(epoch, step)

    def momentum_at(self, epoch: int, step: int) -> float | None:
        """The momentum (Adam: the first beta) of one step, or None where the schedule leaves it alone."""
        part = self.recipe.schedule
        if not isinstance(part, OneCycleSchedule) or part.momentum_range is None:
            return None
        low, high = part.momentum_range
        return self._one_cycle(part, self._position(epoch, step), start=high, peak=low, end=high)

    def _base_lr(self, epoch: int, step: int) -> float:
        part, lr = self.recipe.schedule, self.recipe.optimizer.lr
        if isinstance(part, OneCycleSchedule):
            start = lr / part.div_factor
            return self._one_cycle(part, self._position(epoch, step), start, lr, start / part.final_div_factor)
        if isinstance(part, CosineSchedule):
            per_epoch = self.steps_per_epoch[epoch - 1] if epoch <= len(self.steps_per_epoch) else 1
            passed = epoch - 1 + (step / per_epoch if part.every == "batch" else 0.0)
            if passed < part.warmup_epochs:
                return lr * (passed * per_epoch + 1) / (part.warmup_epochs * per_epoch + 1)
            length = (part.epochs or self.recipe.epochs) - part.warmup_epochs
            return _cosine(lr, part.final_lr, min(1.0, (passed - part.warmup_epochs) / length))
        return lr * self._plateau_factor

    def _position(self, epoch: int, step: int) -> float:
        """The share of all steps that lie behind, from 0 at the first to 1 at the last."""
        return (self._steps_before[epoch - 1] + step) / max(1, self.num_steps - 1)

    @staticmethod
    def _one_cycle(part: OneCycleSchedule, position: float, start: float, peak: float, end: float) -> float:
        between = _cosine if part.shape == "cosine" else _linear
        if position < part.warmup:
            return between(start, peak, position / part.warmup)
        return between(peak, end, (position - part.warmup) / (1 - part.warmup) if part.warmup < 1 else 1.0)

    def observe(self, validation_loss: float) -> None:
        """Tell the validation loss after an epoch; only the plateau schedule listens.

        The rule is that of torch's ReduceLROnPlateau with a relative threshold.
        """
        part = self.recipe.schedule
        if not isinstance(part, PlateauSchedule):
            return
        if validation_loss < self._best_loss * (1 - part.threshold):
            self._best_loss, self._bad_epochs = validation_loss, 0
        else:
            self._bad_epochs += 1
        if self._bad_epochs > part.patience:
            self._plateau_factor, self._bad_epochs = self._plateau_factor * part.factor, 0

    def state_dict(self) -> dict[str, Any]:
        """What the schedule remembers, for a checkpoint."""
        return {"factor": self._plateau_factor, "best_loss": self._best_loss, "bad_epochs": self._bad_epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Remember again what `state_dict()` gave."""
        self._plateau_factor, self._best_loss = state["factor"], state["best_loss"]
        self._bad_epochs = state["bad_epochs"]


def _linear(start: float, end: float, progress: float) -> float:
    return start + (end - start) * progress


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
