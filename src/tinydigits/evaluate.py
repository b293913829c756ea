"""Evaluation: every image once, whole numbers added up and divided once.

Shapes: B images a batch, K classes, N images in all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits.data.model_input import Levels, ModelInput
from tinydigits.stats import reliability_bins

__all__ = ["Evaluation", "Output", "evaluate", "frozen", "log_probabilities", "logits_of", "recognise_output"]

Output = Literal["logits", "log_probabilities", "probabilities"]
"""What a model's row of numbers is."""


@dataclass(frozen=True)
class Evaluation:
    """Counts over a set of images: `accuracy` is `correct ÷ seen`.

    >>> import numpy as np
    >>> labels, predicted = np.array([0, 1, 1]), np.array([0, 1, 0])
    >>> Evaluation.of(labels, predicted, np.array([0.9, 0.8, 0.6]), loss=0.5, num_classes=2).accuracy
    0.6666666666666666
    """

    seen: int
    correct: int
    loss: float
    confusion_KK: np.ndarray
    predicted_N: np.ndarray
    probability_N: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of images whose predicted class is the label, 0 to 1."""
        return self.correct / self.seen

    def calibration_error(self, labels_N: np.ndarray, bins: int = 15) -> float:
        """Expected calibration error: how far probabilities are from the share of right answers, 0 (best) to 1.

        >>> import numpy as np
        >>> labels, predicted = np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1])
        >>> sure = Evaluation.of(labels, predicted, np.full(4, 0.95), loss=0.0, num_classes=2)
        >>> f"{sure.calibration_error(labels):.2f}"
        '0.20'

        Equally wide bins of the predicted class's probability, weighted by their images (Naeini, Cooper, Hauskrecht,
        AAAI 2015).
        """
        reliability = self.reliability(labels_N, bins)
        return float(np.abs(reliability[2] - reliability[1]).sum() / self.seen)

    def reliability(self, labels_N: np.ndarray, bins: int = 15) -> np.ndarray:
        """Images, right answers and the sum of probabilities (3, bins), see `stats.reliability_bins`."""
        return reliability_bins(self.probability_N, self.predicted_N == labels_N, bins)

    @classmethod
    def of(
        cls, labels_N: np.ndarray, predicted_N: np.ndarray, probability_N: np.ndarray, *, loss: float, num_classes: int
    ) -> Evaluation:
        """Count a set of predictions; row of the confusion is the label, column the prediction."""
        flat = np.asarray(labels_N, dtype=np.int64) * num_classes + predicted_N
        confusion = np.bincount(flat, minlength=num_classes**2).reshape(num_classes, num_classes)
        return cls(len(labels_N), int(np.trace(confusion)), loss, confusion, predicted_N, probability_N)


def evaluate(
    model: nn.Module,
    images_NHW: np.ndarray,
    labels_N: np.ndarray,
    *,
    mean: Levels,
    std: Levels,
    input_shape: tuple[int, ...] = (1, 28, 28),
    resize: bool = False,
    output: Output = "logits",
    num_classes: int = 10,
    batch_size: int = 100,
    device: str | torch.device = "cpu",
    shift_pixels: int = 0,
) -> Evaluation:
    """Ask a model for every image of a set, in eval mode and without gradients.

    >>> import numpy as np, tinydigits.models
    >>> images, labels = np.zeros((5, 28, 28), dtype=np.uint8), np.zeros(5, dtype=np.uint8)
    >>> evaluate(tinydigits.models.build("two-conv"), images, labels, mean=0.1307, std=0.3081).seen
    5

    `images_NHW` is uint8, `labels_N` integers; `loss` is the mean cross-entropy. `input_shape`, `mean`, `std` and
    `resize` say how the model takes its images (see `ModelInput`), `output` what its answers are. The last batch counts
    whatever its size, and the counts do not depend on `batch_size`. `shift_pixels` > 0 averages the probabilities over
    all shifts up to that many pixels (test-time augmentation). The model's mode and the random state stay as they were.
    """
    predicted, probability = [], []
    loss_sum = 0.0
    wanted = ModelInput(tuple(input_shape), mean, std, resize)
    with frozen(model), torch.inference_mode():
        for start in range(0, len(images_NHW), batch_size):
            images_BHW = torch.from_numpy(images_NHW[start : start + batch_size]).to(device)
            labels_B = torch.from_numpy(labels_N[start : start + batch_size]).to(device).long()
            log_probability_BK = _ask(model, images_BHW, wanted, output, shift_pixels)
            loss_sum += F.nll_loss(log_probability_BK, labels_B, reduction="sum").item()
            best_B, predicted_B = log_probability_BK.max(dim=1)
            # What is not a number is no answer, so never the right one.
            nothing_B = best_B.isnan()
            predicted_B = torch.where(nothing_B, (labels_B + 1) % num_classes, predicted_B)
            best_B = best_B.masked_fill(nothing_B, -math.inf)
            probability.append(best_B.exp().cpu().numpy())
            predicted.append(predicted_B.cpu().numpy())
    return Evaluation.of(
        labels_N, np.concatenate(predicted), np.concatenate(probability),
        loss=loss_sum / len(labels_N), num_classes=num_classes,
    )  # fmt: skip


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Eval mode for the length of a block; every module's own mode and the random state come back after it.

    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Dropout()).train()
    >>> with frozen(model): model.training
    False
    >>> model.training
    True
    """
    modes = [(module, module.training) for module in model.modules()]
    random_state = torch.get_rng_state()
    model.eval()
    try:
        yield model
    finally:
        for module, training in modes:
            module.training = training
        torch.set_rng_state(random_state)


def logits_of(model: nn.Module, images_BCHW: Tensor) -> Tensor:
    """The model's answer; of several tensors the first. Raises TypeError when it gives none.

    >>> logits_of(nn.Flatten(), torch.zeros(2, 1, 2, 2)).shape
    torch.Size([2, 4])
    """
    output = model(images_BCHW)
    while not isinstance(output, Tensor):
        if isinstance(output, dict):
            output = next(iter(output.values()), None)
        elif isinstance(output, (tuple, list)) and output:
            output = output[0]
        else:
            raise TypeError(f"the model gives {type(output).__name__}, not a tensor")
    return output


def recognise_output(output_BK: Tensor, tolerance: float = 1e-4) -> Output:
    """What rows of numbers are: probabilities when they sum to 1, their logarithms when the exponentials do, or logits.

    >>> recognise_output(torch.tensor([[0.25, 0.75]])), recognise_output(torch.tensor([[2.0, -1.0]]))
    ('probabilities', 'logits')
    """

    def sums_to_one(rows_BK: Tensor) -> bool:
        return bool((rows_BK >= 0).all() and (rows_BK.sum(1) - 1).abs().max() <= tolerance)

    if sums_to_one(output_BK):
        return "probabilities"
    return "log_probabilities" if (output_BK <= tolerance).all() and sums_to_one(output_BK.exp()) else "logits"


def log_probabilities(output_BK: Tensor, output: Output) -> Tensor:
    """Log-probabilities (B, K) from what a model gives.

    >>> log_probabilities(torch.tensor([[0.25, 0.75]]), "probabilities").exp()
    tensor([[0.2500, 0.7500]])
    """
    rows_BK = output_BK.float()
    if output == "logits":
        return F.log_softmax(rows_BK, dim=1)
    return rows_BK.log() if output == "probabilities" else rows_BK


def _ask(model: nn.Module, images_BHW: Tensor, wanted: ModelInput, output: Output, shift_pixels: int) -> Tensor:
    """Log-probabilities (B, K), averaged as probabilities over the shifts."""
    if not shift_pixels:
        return log_probabilities(logits_of(model, wanted.prepare(images_BHW)), output)
    height, width = images_BHW.shape[1:]
    padded = F.pad(images_BHW, [shift_pixels] * 4)
    shifts = [(dy, dx) for dy in range(2 * shift_pixels + 1) for dx in range(2 * shift_pixels + 1)]
    answers = [
        log_probabilities(logits_of(model, wanted.prepare(padded[:, dy : dy + height, dx : dx + width])), output).exp()
        for dy, dx in shifts
    ]
    return torch.stack(answers).mean(dim=0).log()
