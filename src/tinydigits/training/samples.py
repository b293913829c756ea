"""What reports show of a training: mistakes, augmented images, how sure the model was, its first layer's filters."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import nn

from tinydigits import data
from tinydigits.data.batches import Batches
from tinydigits.evaluate import Evaluation

__all__ = ["samples_bytes"]

_SHEET_IMAGES = 64


def samples_bytes(evaluation: Evaluation, images: data.ImageSet, batches: Batches, model: nn.Module) -> bytes:
    """`samples.npz`: the worst mistakes among `images` (wrong, and surest of it) and the first augmented training
    images as uint8 pictures, the places of all wrong answers, how sure the model was, and its first layer's filters."""
    wrong_N = np.flatnonzero(evaluation.predicted_N != images.labels_N)
    worst = wrong_N[np.argsort(-evaluation.probability_N[wrong_N], kind="stable")][:_SHEET_IMAGES]
    augmented_BCHW, augmented_labels_B = next(batches.epoch(1, _SHEET_IMAGES))
    pixels = (augmented_BCHW[:, 0].cpu() * batches.std + batches.mean) * 255
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        mistakes_images=images.images_NHW[worst],
        mistakes_labels=images.labels_N[worst],
        mistakes_predicted=evaluation.predicted_N[worst],
        mistakes_probability=evaluation.probability_N[worst],
        augmented_images=pixels.round().clamp(0, 255).to(torch.uint8).numpy(),
        augmented_labels=augmented_labels_B.cpu().numpy(),
        wrong_index=wrong_N,
        reliability=evaluation.reliability(images.labels_N),
        filters=_first_filters(model),
    )
    return buffer.getvalue()


def _first_filters(model: nn.Module) -> np.ndarray:
    """The first convolution's weights (filters, channels, rows, columns); of a model without one, no filters."""
    kernels = (parameter.detach().cpu().float().numpy() for parameter in model.parameters() if parameter.dim() == 4)
    return next(kernels, np.empty((0, 0, 0, 0), np.float32))[:_SHEET_IMAGES]
