"""The graph computed by torch, tensor by tensor: what calibration looks at, and what the fusing is tested by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinydigits.exports.c_code.graph import Graph, Node

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["interpret"]


def interpret(graph: Graph, images_NHW: np.ndarray) -> dict[str, np.ndarray]:
    """Every tensor of the graph for uint8 images (N, H, W), by name, float64 (N, C, H, W)."""
    import torch

    with torch.inference_mode():
        pixels = torch.from_numpy(images_NHW[:, None]).double()
        values = {graph.image: pixels * graph.image_scale + graph.image_shift}
        for node in graph.nodes:
            values[node.output] = _compute(node, [values[name] for name in node.inputs])
    return {name: value.numpy() for name, value in values.items()}


def _compute(node: Node, inputs: Sequence[Tensor]) -> Tensor:
    import torch
    import torch.nn.functional as F

    (value, *others) = inputs
    if node.kind == "conv":
        weight, bias = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
        value = F.conv2d(value, weight, bias, node.stride, node.padding, node.dilation, node.groups)
    elif node.kind == "max":
        value = F.max_pool2d(value, node.kernel, node.stride, node.padding, node.dilation)
    elif node.kind == "mean":
        value = F.avg_pool2d(value, node.kernel, node.stride, node.padding, count_include_pad=node.counts_padding)
    elif node.kind == "concat":
        value = torch.cat(list(inputs), dim=1)
    elif node.kind in ("add", "mul"):
        value = value + others[0] if node.kind == "add" else value * others[0]
    elif node.function:
        value = {"sigmoid": torch.sigmoid}[node.function](value)
    value = torch.where(value < 0, value * node.slope, value)
    if node.scale is not None:
        value = value * torch.from_numpy(node.scale)[:, None, None] + torch.from_numpy(node.shift)[:, None, None]
    return value
