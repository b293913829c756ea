"""8 bits: a scale and a zero for each tensor, from what it held over calibration images; integers for every factor.

Weights are symmetric, with a scale for each output channel; activations have one scale and one zero (Jacob et al.
2018).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinydigits.exports.c_code.graph import Graph

__all__ = ["Steps", "fixed", "steps_of"]


@dataclass(frozen=True)
class Steps:
    """A tensor in 8 bits: value = scale · (q - zero)."""

    scale: float
    zero: int

    def quantise(self, values: np.ndarray) -> np.ndarray:
        """The nearest steps, uint8.

        >>> Steps(0.5, 10).quantise(np.array([-100.0, 0.0, 0.6])).tolist()
        [0, 10, 11]
        """
        return np.clip(np.round(values / self.scale) + self.zero, 0, 255).astype(np.uint8)


def steps_of(graph: Graph, values: Mapping[str, np.ndarray]) -> dict[str, Steps]:
    """Each tensor's steps, from its values over calibration images.

    The image keeps its own 256 grey levels. What a maximum takes, it gives in the same steps.
    """
    steps = {graph.image: Steps(graph.image_scale, round(-graph.image_shift / graph.image_scale))}
    for node in graph.nodes:
        if node.kind == "max":
            steps[node.output] = steps[node.inputs[0]]
            continue
        value = values[node.output]
        low, high = min(0.0, float(value.min())), max(0.0, float(value.max()))
        scale = (high - low) / 255 or 1.0
        steps[node.output] = Steps(scale, round(-low / scale))
    return steps


def fixed(*factors: np.ndarray | float) -> tuple[list[np.ndarray], int]:
    """Factors as 31-bit integers over one power of two: factor = integer ÷ 2^shift, 16 <= shift <= 46.

    >>> integers, shift = fixed(np.array([0.5, 0.25]), 1.0)
    >>> [(integer / 2**shift).tolist() for integer in integers], shift
    ([[0.5, 0.25], 1.0], 29)
    """
    largest = max(float(np.abs(factor).max()) for factor in factors)
    shift = min(46, max(16, 29 - math.floor(math.log2(largest)))) if largest > 0 else 16
    return [np.round(np.asarray(factor, dtype=np.float64) * 2.0**shift).astype(np.int32) for factor in factors], shift
