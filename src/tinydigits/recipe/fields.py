"""The typed fields of a recipe: what a TOML recipe may say, with defaults and ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tinydigits.recipe.augment import AugmentStep
from tinydigits.recipe.part import Fraction, Part, Positive

__all__ = [
    "AveragePart", "ConstantSchedule", "CosineSchedule", "DataPart", "DistilPart", "EarlyStoppingPart", "EmaPart",
    "EvaluationPart", "LossPart", "MixPart", "ModelPart", "OneCycleSchedule", "OptimizerPart", "PlateauSchedule",
    "Recipe", "SchedulePart", "SwaPart",
]  # fmt: skip

Count = Annotated[int, Field(ge=1)]


class ModelPart(Part):
    """Which model: a registered name, `path/to/file.py:Class` or `package.module:Class`, and its options."""

    name: str
    options: dict[str, Any] = Field(default={})


class DataPart(Part):
    """Which images, how they are normalised, and how they are cut into batches.

    `validation` images are held out of the training images (0: train on all of them). `batch_size` may change by epoch:
    `{1 = 256, 5 = 128}` means 256 from epoch 1, 128 from epoch 5.
    """

    source: str = "mnist"
    mean: float = 0.1307
    std: Positive = 0.3081
    validation: Annotated[int, Field(ge=0)] = 0
    batch_size: Count | dict[int, Count] = 64
    shuffle: bool = True

    @field_validator("batch_size")
    @classmethod
    def _starts_at_one(cls, value: int | dict[int, int]) -> int | dict[int, int]:
        if isinstance(value, dict) and 1 not in value:
            raise ValueError("a size for epoch 1, as in {1 = 256, 5 = 128}")
        return value

    def batch_size_at(self, epoch: int) -> int:
        """The batch size in `epoch`, counted from 1."""
        if isinstance(self.batch_size, int):
            return self.batch_size
        return self.batch_size[max(start for start in self.batch_size if start <= epoch)]


class OptimizerPart(Part):
    """The optimizer and its constants; `clip_norm` bounds the gradient, `accumulate` averages it over some batches.

    Muon makes the steps of the weights between channels orthogonal; first layer, classifier, biases and normalisation
    take plain momentum steps at `other_lr` (default: `lr`). `ns_steps` rounds of Newton-Schulz make a step orthogonal
    (default: 5); fewer are faster and leave its small singular values smaller.
    """

    name: Literal["sgd", "adam", "adamw", "muon"]
    lr: Positive
    other_lr: Positive | None = None
    ns_steps: Count | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    nesterov: bool = False
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Positive | None = None
    accumulate: Count = 1

    @model_validator(mode="after")
    def _no_settings_of_muon_without_it(self) -> OptimizerPart:
        if self.name != "muon" and (self.other_lr, self.ns_steps) != (None, None):
            raise ValueError("other_lr and ns_steps only with muon: the others have one rate, and nothing orthogonal")
        return self


class ConstantSchedule(Part):
    """The learning rate stays at `optimizer.lr`."""

    name: Literal["constant"] = "constant"


class CosineSchedule(Part):
    """From `optimizer.lr` to `final_lr` along half a cosine over `epochs` (default: all), then flat.

    `warmup_epochs` rise linearly from zero first. `every = "epoch"` keeps the rate within an epoch.
    """

    name: Literal["cosine"]
    final_lr: Annotated[float, Field(ge=0)] = 0.0
    epochs: Positive | None = None
    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    every: Literal["batch", "epoch"] = "batch"


class OneCycleSchedule(Part):
    """From the optimizer's `lr / div_factor` up to `lr`, then down to `lr / div_factor / final_div_factor`.

    The way up takes `warmup` of all steps. `momentum_range` moves momentum (or Adam's first beta) from the second value
    to the first and back, against the rate. Names and defaults as torch's OneCycleLR.
    """

    name: Literal["one-cycle"]
    warmup: Fraction = 0.3
    div_factor: Positive = 25.0
    final_div_factor: Positive = 1e4
    shape: Literal["cosine", "linear"] = "cosine"
    momentum_range: tuple[Fraction, Fraction] | None = None


class PlateauSchedule(Part):
    """Multiply the rate by `factor` after more than `patience` epochs without a better validation loss."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 2
    threshold: Fraction = 1e-4


SchedulePart = Annotated[
    ConstantSchedule | CosineSchedule | OneCycleSchedule | PlateauSchedule, Field(discriminator="name")
]


class SwaPart(Part):
    """Stochastic weight averaging: from the end of `start_epoch` on, the mean of the weights after each epoch.

    From there the rate moves to `lr` along a cosine over `anneal_epochs`, epoch by epoch. BatchNorm's statistics are
    measured anew for the mean, in one forward pass over the training images (augmented, or see `statistics`).
    """

    name: Literal["swa"]
    start_epoch: Count
    lr: Positive | None = None
    anneal_epochs: Count = 10


class EmaPart(Part):
    """Exponential moving average of weights and buffers: `average = decay · average + (1 - decay) · weights`.

    It is updated after `every` so many optimizer steps, over the whole training.
    """

    name: Literal["ema"]
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    every: Count = 1


AveragePart = Annotated[SwaPart | EmaPart, Field(discriminator="name")]


class LossPart(Part):
    """Cross-entropy; `label_smoothing` is one number or `[first, last]`, moved linearly from epoch to epoch."""

    label_smoothing: Fraction | tuple[Fraction, Fraction] = 0.0

    def label_smoothing_at(self, epoch: int, epochs: int) -> float:
        """The label smoothing in `epoch`, counted from 1."""
        if not isinstance(self.label_smoothing, tuple):
            return self.label_smoothing
        first, last = self.label_smoothing
        return first + (last - first) * (epoch - 1) / max(1, epochs - 1)


class MixPart(Part):
    """Mixup and cutmix: a batch is mixed with `probability`; alphas are of the Beta distribution, 0 turns one off."""

    probability: Fraction = 0.5
    mixup_alpha: Annotated[float, Field(ge=0)] = 0.0
    cutmix_alpha: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _mixes_something(self) -> MixPart:
        if self.mixup_alpha == self.cutmix_alpha == 0:
            raise ValueError("mixup_alpha or cutmix_alpha > 0")
        return self


class DistilPart(Part):
    """Knowledge distillation: learn the answers of trained models beside the labels, both softened by `temperature`.

    `teachers` are names of `tinydigits models ls` or folders of runs, written with a slash (`./runs/latest`); their
    probabilities are averaged. `weight` is the share of the teachers in the loss.
    """

    teachers: Annotated[tuple[str, ...], Field(min_length=1)]
    temperature: Positive = 2.0
    weight: Fraction = 0.5


class EarlyStoppingPart(Part):
    """Stop after `patience` epochs in which the best validation loss did not fall by more than `min_delta`.

    The weights are those of the last epoch, as without it. Names as Keras's EarlyStopping.
    """

    patience: Count
    min_delta: Annotated[float, Field(ge=0)] = 0.0

    def is_reached(self, losses: Sequence[float], extended_at: int = 0) -> bool:
        """Whether the training ends after these validation losses, one an epoch; more epochs begin to count anew.

        >>> [EarlyStoppingPart(patience=2).is_reached(losses) for losses in ([3.0, 2.0, 2.5], [3.0, 2.0, 2.5, 2.0])]
        [False, True]
        """
        best, epochs_since = math.inf, 0
        for number, loss in enumerate(losses, start=1):
            best, epochs_since = (loss, 0) if loss < best - self.min_delta else (best, epochs_since + 1)
            epochs_since = min(epochs_since, max(0, number - extended_at))
        return epochs_since >= self.patience


class EvaluationPart(Part):
    """How the trained model is asked; `shift_pixels` > 0: for the mean answer to all shifts up to that.

    That is test-time augmentation, named in the record and the verdict. Training images are asked without it."""

    shift_pixels: Annotated[int, Field(ge=0, le=3)] = 0


class Recipe(Part):
    """Everything that decides a run: the same recipe, machine and threads give the same bits.

    Two save memory, cost time and change no result: `recompute` names parts of the model whose activations are computed
    again in the backward pass; `keep_memory = false` gives freed blocks over 0.5 MB back after every step.

    `channels_last` and `batch_last` are orders in memory, for speed. `batch_last` is for few channels: layers in C, on
    the CPU in single precision. `fused` is for more of them, in bf16 and channels last: BatchNorm, the ReLU in place
    after it and 2×2 maxima in C. Elsewhere, or without a C compiler, torch's layers compute the same up to rounding.

    `batch_norm` is for a training in several processes: `synchronised` normalises by the whole batch, as one process
    does; `local` by each process's share of it, with the mean of their running statistics kept.

    `statistics` says by which images' mean and variance BatchNorm normalises where the trained model is asked:
    `augmented`, those that it trains on; `plain`, all training images as they are, measured anew after the last epoch.
    Augmentation that moves pixels blurs, and images that are asked are sharp (Touvron et al. 2019, "Fixing the
    train-test resolution discrepancy"; Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm").

    >>> import tinydigits.recipe
    >>> recipe = tinydigits.recipe.load("two-conv")
    >>> recipe.epochs, recipe.optimizer.lr, recipe.model.options
    (1, 0.005, {'dropout': 0.005})
    """

    name: str
    description: str = ""
    contract: str | None = None
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False
    batch_last: bool = False
    fused: bool = False
    recompute: tuple[str, ...] = ()
    keep_memory: bool = True
    batch_norm: Literal["synchronised", "local"] = "synchronised"
    statistics: Literal["augmented", "plain"] = "augmented"
    model: ModelPart
    data: DataPart = DataPart()
    optimizer: OptimizerPart
    schedule: SchedulePart = ConstantSchedule()
    average: AveragePart | None = None
    loss: LossPart = LossPart()
    mix: MixPart | None = None
    distil: DistilPart | None = None
    augment: tuple[AugmentStep, ...] = ()
    early_stopping: EarlyStoppingPart | None = None
    evaluation: EvaluationPart = EvaluationPart()

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if isinstance(self.schedule, PlateauSchedule) and not self.data.validation:
            raise ValueError("data.validation > 0, since the plateau schedule follows the validation loss")
        if self.early_stopping and not self.data.validation:
            raise ValueError("data.validation > 0, since early_stopping follows the validation loss")
        if isinstance(self.average, SwaPart) and self.average.start_epoch > self.epochs:
            raise ValueError(f"average.start_epoch ≤ epochs = {self.epochs}")
        if self.batch_last and (self.channels_last or self.recompute or self.precision == "bf16"):
            raise ValueError('batch_last with precision = "fp32", without channels_last and recompute')
        if self.fused and (self.precision == "fp32" or not self.channels_last or self.recompute):
            raise ValueError('fused with precision = "bf16" and channels_last, without recompute')
        return self
