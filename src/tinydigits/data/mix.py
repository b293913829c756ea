"""Mixup (Zhang et al. 2018) and cutmix (Yun et al. 2019) of a batch with itself.

Shapes: B images, C channels, H × W pixels.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

__all__ = ["mix"]


def mix(
    images_BCHW: Tensor, labels_B: Tensor, *, mixup_alpha: float, cutmix_alpha: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor, float]:
    """Blend each image with its neighbour in the batch; gives (images, the neighbours' labels, share of the own label).

    >>> import numpy as np, torch
    >>> images, labels = torch.rand(4, 1, 28, 28), torch.arange(4)
    >>> rng = np.random.default_rng(0)
    >>> mixed, others, share = mix(images, labels, mixup_alpha=0.2, cutmix_alpha=0.0, rng=rng)
    >>> others.tolist()
    [3, 0, 1, 2]
    >>> bool(torch.allclose(mixed[1], share * images[1] + (1 - share) * images[0]))
    True

    One way is chosen for the batch, evenly where both alphas are above 0; the share is drawn from Beta(alpha, alpha).
    The neighbour stands for a random partner, since a shuffled batch is in random order.
    """
    use_cutmix = cutmix_alpha > 0 and (mixup_alpha == 0 or rng.random() < 0.5)
    alpha = cutmix_alpha if use_cutmix else mixup_alpha
    share = float(rng.beta(alpha, alpha))
    others_BCHW, other_labels_B = images_BCHW.roll(1, 0), labels_B.roll(1, 0)
    if not use_cutmix:
        return images_BCHW.lerp(others_BCHW, 1 - share), other_labels_B, share
    height, width = images_BCHW.shape[2:]
    top, bottom = _span(height, (1 - share) ** 0.5, rng)
    left, right = _span(width, (1 - share) ** 0.5, rng)
    mixed_BCHW = images_BCHW.clone()
    mixed_BCHW[:, :, top:bottom, left:right] = others_BCHW[:, :, top:bottom, left:right]
    # The box is cut off at the border, so the share is counted from the pixels that changed.
    return mixed_BCHW, other_labels_B, 1 - (bottom - top) * (right - left) / (height * width)


def _span(size: int, fraction: float, rng: np.random.Generator) -> tuple[int, int]:
    length, centre = round(size * fraction), int(rng.integers(size))
    return max(0, centre - length // 2), min(size, centre - length // 2 + length)
