"""Evaluation: every image once, whole numbers added up and divided once.

Shapes: B images a batch, K classes, N images in all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits.data.batches import normalise

__all__ = ["Evaluation", "evaluate", "frozen"]


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
        bin_N = np.minimum((self.probability_N * bins).astype(np.int64), bins - 1)
        right_N = self.predicted_N == labels_N
        sureness = np.bincount(bin_N, self.probability_N, bins) - np.bincount(bin_N, right_N, bins)
        return float(np.abs(sureness).sum() / self.seen)

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
    mean: float,
    std: float,
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

    `images_NHW` is uint8, `labels_N` integers; `loss` is the mean cross-entropy. The last batch counts whatever its
    size, and the counts do not depend on `batch_size`. `shift_pixels` > 0 averages the probabilities over all shifts up
    to that many pixels (test-time augmentation). The model's mode and the random state stay as they were.
    """
    predicted, probability = [], []
    loss_sum = 0.0
    with frozen(model), torch.inference_mode():
        for start in range(0, len(images_NHW), batch_size):
            images_BCHW = normalise(torch.from_numpy(images_NHW[start : start + batch_size]).to(device), mean, std)
            labels_B = torch.from_numpy(labels_N[start : start + batch_size]).to(device).long()
            log_probability_BK = _ask(model, images_BCHW, shift_pixels, ground=-mean / std)
            loss_sum += F.nll_loss(log_probability_BK, labels_B, reduction="sum").item()
            best_B, predicted_B = log_probability_BK.max(dim=1)
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


def _ask(model: nn.Module, images_BCHW: Tensor, shift_pixels: int, ground: float) -> Tensor:
    """Log-probabilities (B, K), averaged as probabilities over the shifts."""
    if not shift_pixels:
        return F.log_softmax(model(images_BCHW).float(), dim=1)
    height, width = images_BCHW.shape[2:]
    padded = F.pad(images_BCHW, [shift_pixels] * 4, value=ground)
    shifts = [(dy, dx) for dy in range(2 * shift_pixels + 1) for dx in range(2 * shift_pixels + 1)]
    answers = [F.softmax(model(padded[:, :, dy : dy + height, dx : dx + width]).float(), dim=1) for dy, dx in shifts]
    return torch.stack(answers).mean(dim=0).log()
