"""The receptive field measured with gradients: a second opinion on the one that is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from tinydigits.errors import TinydigitsError
from tinydigits.trace.field import propagate
from tinydigits.trace.graph import Graph, export_graph, op_name, tensor_of

__all__ = ["receptive_field_by_gradient"]

_ACTIVATIONS = frozenset({
    "alpha_dropout", "batch_norm", "celu", "clamp", "dropout", "elu", "feature_dropout", "gelu", "group_norm",
    "hardsigmoid", "hardswish", "hardtanh", "instance_norm", "layer_norm", "leaky_relu", "mish", "prelu", "relu",
    "relu6", "selu", "sigmoid", "silu", "softplus", "tanh",
})  # fmt: skip


def receptive_field_by_gradient(model: nn.Module, input_shape: tuple[int, int, int] = (1, 28, 28)) -> tuple[int, int]:
    """Rows and columns of input pixels that the last map depends on, measured by gradients; the model is not touched.

    >>> receptive_field_by_gradient(nn.Sequential(nn.Conv2d(1, 4, 5, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 3)))
    (27, 27)

    The graph up to the last map runs in float64 on a canvas larger than the field, with all weights positive,
    activations left out and maxima replaced by averages, so that no gradient is lost to a dead unit or to cancellation.
    What is differentiated is the sum over the map's central positions, as many as the map has for the model's own
    input: what a pool or a linear layer over the map would see. Raises TinydigitsError when the model has no map, or
    fixes its size.
    """
    graph = export_graph(model, tuple(input_shape))
    views = propagate(graph)
    maps = [n for n in graph.nodes if n in views and not views[n].pooled and getattr(tensor_of(n), "ndim", 0) == 4]
    if not maps:
        raise TinydigitsError(f"model {type(model).__name__}", "has no feature map to measure the field of")
    last = maps[-1]
    num_rows, num_columns = _map_shape(last)
    margin = max(views[last].size)
    canvas = torch.rand(2, input_shape[0], *(side + 2 * margin for side in input_shape[1:]), dtype=torch.float64) + 0.5
    canvas.requires_grad_(True)
    try:
        with torch.random.fork_rng(devices=[]):
            features_BCHW = _run(graph, last, canvas)
    except RuntimeError as error:
        raise TinydigitsError(
            f"model {type(model).__name__}", f"fixes the size of its input, so its field cannot be measured: {error}"
        ) from error
    top = (features_BCHW.shape[2] - num_rows) // 2
    left = (features_BCHW.shape[3] - num_columns) // 2
    features_BCHW[:, :, top : top + num_rows, left : left + num_columns].sum().backward()
    assert canvas.grad is not None
    touched_HW = canvas.grad.abs().sum((0, 1)) > 0
    rows, columns = touched_HW.any(1).nonzero(), touched_HW.any(0).nonzero()
    return int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1


def _map_shape(node: Node) -> tuple[int, int]:
    tensor = tensor_of(node)
    assert tensor is not None
    return int(tensor.shape[2]), int(tensor.shape[3])


def _run(graph: Graph, last: Node, canvas: Tensor) -> Tensor:
    values: dict[Node, Any] = {graph.image: canvas}
    for node in (*graph.parameters, *graph.buffers, *graph.constants):
        tensor = tensor_of(node)
        assert tensor is not None
        fan_in = tensor[0].numel() if tensor.ndim else 1
        values[node] = torch.full(tensor.shape, 1 / fan_in, dtype=torch.float64)
    for node in graph.nodes:
        given = torch.fx.map_arg(node.args, lambda source: values[source])
        values[node] = _smooth(node)(*given, **torch.fx.map_arg(node.kwargs, lambda source: values[source]))
        if node is last:
            break
    result: Tensor = values[last]
    return result


def _smooth(node: Node) -> Callable[..., Any]:
    """The operation with its gradient everywhere: what selects becomes what averages, what squashes is left out."""
    name, target = op_name(node), node.target
    assert callable(target)
    if name in _ACTIVATIONS:
        return lambda value, *_, **__: value
    if name == "max_pool2d":
        return lambda value, kernel, stride=(), padding=0, *_: torch.nn.functional.avg_pool2d(
            value, kernel, list(stride) or None, padding
        )
    if name == "sub":
        return lambda a, b, **_: a + b
    return target
