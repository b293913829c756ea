"""What the answers depend on, measured by gradients: a second opinion on the receptive field that is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.fx import Node

from tinydigits.errors import TinydigitsError
from tinydigits.trace.graph import Graph, arguments, op_name
from tinydigits.trace.inventory import first_line
from tinydigits.trace.replay import moved_values, replay

__all__ = ["positive_weights", "reach", "smooth_operation", "touched_box"]

_ACTIVATIONS = frozenset({
    "_log_softmax", "_softmax", "alpha_dropout", "batch_norm", "ceil", "celu", "clamp", "clamp_min", "detach",
    "dropout", "elu", "fake_quantize_per_channel_affine", "fake_quantize_per_tensor_affine", "feature_dropout", "floor",
    "gelu", "group_norm", "hardsigmoid", "hardswish", "hardtanh", "instance_norm", "layer_norm", "leaky_relu",
    "log_softmax", "mish", "prelu", "relu", "relu6", "rms_norm", "round", "selu", "sigmoid", "sign", "silu", "softmax",
    "softplus", "tanh",
})  # fmt: skip
# Less than this share of the largest gradient is a path in name only.
_SHARE = 1e-6


def positive_weights(graph: Graph) -> dict[Node, Tensor]:
    """Weights that cancel nothing, of a size that lets nothing grow."""
    return {
        node: torch.full(value.shape, 1 / (value[0].numel() if value.ndim else 1), dtype=torch.float64)
        for node, value in graph.values.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }


def reach(graph: Graph, input_shape: tuple[int, ...], *, moved: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of the image that the answers depend on: with the model's own weights, and with any weights.

    Measured by gradients through the graph, on the model's own size of input, so never more than the image has. With
    `moved` the parameters that training would move are moved a little first. Raises TinydigitsError when the graph has
    no gradient.
    """
    generator = torch.Generator().manual_seed(0)
    own = moved_values(graph, generator) if moved else {}
    boxes = []
    for values, operation in ((own, _passing), (positive_weights(graph), smooth_operation)):
        image = (torch.rand(2, *input_shape, generator=generator, dtype=torch.float64) + 0.5).requires_grad_(True)
        try:
            with torch.random.fork_rng(devices=[]), torch.enable_grad():
                output = replay(graph, image, values=values, operation=operation)[graph.output]
                weight = torch.rand(output.shape, generator=generator, dtype=output.dtype) + 0.5
                (output * weight).sum().backward()
        except RuntimeError as error:
            raise TinydigitsError("the receptive field", f"has no gradient: {first_line(error)}") from error
        boxes.append(touched_box(image.grad))
    return boxes[0], boxes[1]


def touched_box(gradient: Tensor | None) -> tuple[int, int]:
    """The rows and columns from the first to the last that has a share of the gradient."""
    if gradient is None or gradient.ndim != 4 or not gradient.isfinite().all():
        return 0, 0
    touched_HW = gradient.abs().sum((0, 1))
    touched_HW = touched_HW > _SHARE * touched_HW.max()
    rows, columns = touched_HW.any(1).nonzero(), touched_HW.any(0).nonzero()
    return (int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1) if len(rows) else (0, 0)


def smooth_operation(node: Node) -> Callable[..., Any]:
    """An operation that also cancels nothing and scales nothing away."""
    if op_name(node) in ("sub", "rsub"):
        return lambda a, b, **_: a + b
    if op_name(node) in ("mul", "div") and not isinstance(node.args[1], Node):
        return lambda value, *_, **__: value
    return _passing(node)


def _passing(node: Node) -> Callable[..., Any]:
    """The operation with its gradient everywhere: what selects becomes what averages, what squashes is left out."""
    name, target = op_name(node), node.target
    assert callable(target)
    if name in _ACTIVATIONS:
        return lambda value, *_, **__: value
    if name == "max_pool2d":
        return lambda value, kernel, stride=(), padding=0, *_: F.avg_pool2d(
            value, kernel, list(stride) or None, padding
        )
    if name in ("adaptive_max_pool2d", "adaptive_max_pool1d"):
        average = F.adaptive_avg_pool2d if name.endswith("2d") else F.adaptive_avg_pool1d
        return lambda value, size: (average(value, size), None)
    if name in ("amax", "max") and "dim" in arguments(node):
        return lambda value, *args, **kwargs: _average(target(value, *args, **kwargs), value, *args, **kwargs)
    return target


def _average(selected: Any, value: Tensor, dim: Any = (), keepdim: bool = False) -> Any:
    average = value.mean(dim, keepdim) if dim != () else value.mean()
    return average if isinstance(selected, Tensor) else (average, *list(selected)[1:])
