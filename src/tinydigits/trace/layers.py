"""Layers in the field's terms, and what they cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.fx import Node
from torch.nn.parameter import UninitializedParameter

from tinydigits.trace.field import View, propagate
from tinydigits.trace.graph import BATCH_SIZE, Graph, arguments, export_graph, op_name, tensor_of

__all__ = ["KINDS", "Layer", "Trace", "trace"]

_KIND_OF_OP = {
    "addmm": "linear",
    "cat": "cat",
    "conv1d": "conv",
    "conv2d": "conv",
    "conv3d": "conv",
    "convolution": "conv",
    "conv_transpose2d": "conv_transpose",
    "max_pool1d": "max_pool",
    "max_pool2d": "max_pool",
    "max_pool2d_with_indices": "max_pool",
    "adaptive_max_pool1d": "max_pool",
    "adaptive_max_pool2d": "max_pool",
    "avg_pool1d": "avg_pool",
    "avg_pool2d": "avg_pool",
    "adaptive_avg_pool1d": "avg_pool",
    "adaptive_avg_pool2d": "avg_pool",
    "mean": "mean",
    "amax": "max",
    "mm": "matmul",
    "bmm": "matmul",
    "scaled_dot_product_attention": "attention",
    "native_dropout": "dropout",
    "feature_dropout": "dropout",
    "alpha_dropout": "dropout",
    "feature_alpha_dropout": "dropout",
    "view": "reshape",
    "_log_softmax": "log_softmax",
    "_softmax": "softmax",
}
_MOVES_ONLY = frozenset({
    "_to_copy", "alias", "chunk", "clone", "contiguous", "copy", "detach", "expand", "expand_as", "getitem",
    "movedim", "narrow", "permute", "select", "slice", "split", "squeeze", "stack", "swapaxes", "t", "to",
    "transpose", "type_as", "unbind", "unflatten", "unsqueeze",
})  # fmt: skip

KINDS = (
    "add", "attention", "avg_pool", "batch_norm", "cat", "conv", "conv_transpose", "depthwise_conv", "dropout",
    "einsum", "flatten", "global_average_pool", "global_max_pool", "group_norm", "instance_norm", "layer_norm",
    "linear", "matmul", "max_pool", "mul", "relu", "sigmoid", "softmax",
)  # fmt: skip
"""The kinds that a contract can name; other operations are called by torch's own name, such as `gelu`."""


@dataclass(frozen=True)
class Layer:
    """One operation of the graph that the output depends on.

    `kinds` has the most telling name first: a depthwise convolution is `("depthwise_conv", "conv")`. `output_shape` is
    without the batch. `num_parameters` counts a shared weight where it is first used. `macs` are multiply-adds for one
    image. `receptive_field` is (rows, columns) of input pixels.
    """

    name: str
    kinds: tuple[str, ...]
    path: str
    op: str
    output_shape: tuple[int, ...]
    num_parameters: int
    parameter_names: tuple[str, ...]
    macs: int
    receptive_field: tuple[int, int]
    map_size: tuple[int, int]
    inputs: tuple[str, ...]

    @property
    def kind(self) -> str:
        return self.kinds[0]


@dataclass(frozen=True)
class Trace:
    """A model's graph: its layers in order, and totals.

    `num_parameters` counts every parameter of the module once, shared, frozen and unused ones too; `num_trainable`
    those that ask for a gradient; `num_unused` those that the output does not depend on. `num_buffers` are numbers such
    as running statistics. `num_constants` are floating-point numbers that the graph uses and that are neither: weights
    kept outside `parameters()`. `exact` is False when the receptive field is an upper bound, because of `unknown_ops`.
    """

    layers: tuple[Layer, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    num_parameters: int
    num_trainable: int
    num_unused: int
    num_buffers: int
    num_constants: int
    macs: int
    receptive_field: tuple[int, int]
    exact: bool
    unknown_ops: tuple[str, ...]

    @property
    def kinds(self) -> Counter[str]:
        """How many layers there are of each kind."""
        return Counter(kind for layer in self.layers for kind in layer.kinds)


def trace(model: nn.Module, input_shape: tuple[int, ...] = (1, 28, 28)) -> Trace:
    """Read a model's layers, parameters, multiply-adds and receptive field from its graph; the model is not touched.

    >>> from torch import nn
    >>> small = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    >>> found = trace(small)
    >>> [layer.kind for layer in found.layers]
    ['conv', 'relu', 'global_average_pool', 'flatten', 'linear']
    >>> found.num_parameters, found.macs, found.layers[0].receptive_field
    (90, 24376, (3, 3))

    `input_shape` is one input without the batch; the model runs as a copy on fake tensors, in train mode, so that
    dropout and batch statistics are seen. Raises TinydigitsError when the model cannot be exported, as when its forward
    branches on the values of its input.
    """
    graph = export_graph(model, tuple(input_shape))
    views = propagate(graph)
    named = dict(model.named_parameters(remove_duplicate=False))
    layers = _layers(graph, views, named)
    used = {id(named[name]) for name in graph.parameters.values() if name in named}
    parameters = list(model.parameters())
    output, final = tensor_of(graph.output), views.get(graph.output)
    assert output is not None
    if any(isinstance(p, UninitializedParameter) for p in parameters):
        sizes = [_numel(node) for node in graph.parameters]
        num_parameters = num_trainable = sum(sizes)
        num_unused = 0
    else:
        num_parameters = sum(p.numel() for p in parameters)
        num_trainable = sum(p.numel() for p in parameters if p.requires_grad)
        num_unused = sum(p.numel() for p in parameters if id(p) not in used)
    return Trace(
        layers=layers,
        input_shape=tuple(input_shape),
        output_shape=tuple(output.shape[1:]),
        num_parameters=num_parameters,
        num_trainable=num_trainable,
        num_unused=num_unused,
        num_buffers=sum(buffer.numel() for buffer in model.buffers()),
        num_constants=sum(t.numel() for t in graph.constants.values() if t.is_floating_point()),
        macs=sum(layer.macs for layer in layers),
        receptive_field=final.size if final else (0, 0),
        exact=final.exact if final else True,
        unknown_ops=_unknown(graph, views),
    )


def _layers(graph: Graph, views: dict[Node, View], named: dict[str, nn.Parameter]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    counted: set[int] = set()
    weights: dict[Node, list[str]] = {node: [name] for node, name in graph.parameters.items()}
    for node in graph.nodes:
        sources = graph.inputs[node]
        names = list(dict.fromkeys(name for source in node.all_input_nodes for name in weights.get(source, ())))
        if node not in views:
            weights[node] = names  # made of weights alone: they belong to the layer that uses it
            continue
        output = _first_tensor(node)
        if output is None or op_name(node) == "getitem":
            continue
        fresh = [name for name in names if _identity(named, name) not in counted]
        num_parameters = 0
        for name in fresh:
            counted.add(_identity(named, name))
            num_parameters += _numel(next(n for n, known in graph.parameters.items() if known == name))
        before = next((views[n] for n in node.all_input_nodes if n in views), None)
        layers.append(
            Layer(
                name=node.name,
                kinds=_kinds(node, output, before, views),
                path=_module_path(node),
                op=str(node.target),
                output_shape=tuple(output.shape[1:]),
                num_parameters=num_parameters,
                parameter_names=tuple(names),
                macs=_macs(node, output),
                receptive_field=views[node].size,
                map_size=views[node].num_positions,
                inputs=tuple(_through_items(source).name for source in sources if source in views),
            )
        )
    return tuple(layers)


def _first_tensor(node: Node) -> Tensor | None:
    value = node.meta.get("val")
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    return value if isinstance(value, Tensor) else None


def _through_items(node: Node) -> Node:
    while op_name(node) == "getitem" and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return node


def _identity(named: dict[str, nn.Parameter], name: str) -> int:
    return id(named[name]) if name in named else hash(name)


def _numel(node: Node) -> int:
    value = tensor_of(node)
    return int(value.numel()) if value is not None else 0


def _module_path(node: Node) -> str:
    """The innermost module that the operation was called in, as in `features.0`; empty for the model itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def _kinds(node: Node, output: Tensor, before: View | None, views: dict[Node, View]) -> tuple[str, ...]:
    name, given, after = op_name(node), arguments(node), views[node]
    kind = _KIND_OF_OP.get(name, name)
    extra: tuple[str, ...] = ()
    if kind == "conv":
        groups = given.get("groups", 1)
        channels = tensor_of(given["input"])
        if groups > 1 and channels is not None and groups == channels.shape[1]:
            return "depthwise_conv", "conv"
    if kind == "dropout" and not (given.get("p", 0) > 0 and given.get("train", True)):
        return ("no_dropout",)
    if kind == "reshape" and before is not None and output.ndim < len(before.axes):
        return ("flatten",)
    if kind == "matmul" and any(n not in views for n in node.all_input_nodes):
        extra = ("linear",)
    if kind in _MOVES_ONLY:
        return ("reshape",)
    # However it is written, a pool is global when it leaves no rows or columns of the map.
    if before is not None and before.is_map and not after.is_map and kind not in ("linear", "flatten"):
        keeps_channels = any(atom.num > 1 for axis in after.axes[1:] for atom in axis) or _num_channels(before) == 1
        pool = {frozenset({"average"}): "global_average_pool", frozenset({"max"}): "global_max_pool"}.get(after.pooled)
        if pool is not None and keeps_channels:
            return (pool, kind) if kind in ("einsum", "matmul") else (pool,)
    return (kind, *extra)


def _num_channels(view: View) -> int:
    return prod(atom.num for axis in view.axes[1:] for atom in axis if atom.dim is None)


def _macs(node: Node, output: Tensor) -> int:
    """Multiply-adds for one image; what is not a convolution or a matrix product counts as none."""
    name, given = op_name(node), arguments(node)
    kind = _KIND_OF_OP.get(name, name)
    numel = output.numel() // BATCH_SIZE

    def shape(value: Any) -> tuple[int, ...]:
        tensor = tensor_of(value) if isinstance(value, Node) else None
        return tuple(tensor.shape) if tensor is not None else (1,)

    if kind == "conv":
        return numel * prod(shape(given["weight"])[1:])
    if kind == "conv_transpose":
        return prod(shape(given["input"])) // BATCH_SIZE * prod(shape(given["weight"])[1:])
    if kind == "linear":
        return numel * shape(given["weight" if name == "linear" else "mat1"])[-1]
    if kind == "matmul":
        return numel * shape(node.all_input_nodes[0])[-1]
    if kind == "attention":
        query, key = shape(given["query"]), shape(given["key"])
        return prod(query[:-1]) // BATCH_SIZE * key[-2] * (query[-1] + output.shape[-1])
    if kind == "einsum":
        terms = given["equation"].replace(" ", "").partition("->")[0].split(",")
        lengths = {
            letter: num
            for term, t in zip(terms, given["tensors"], strict=True)
            for letter, num in zip(term, shape(t), strict=False)
        }
        return prod(lengths.values()) // BATCH_SIZE if len(terms) > 1 else 0
    return 0


def _unknown(graph: Graph, views: dict[Node, View]) -> tuple[str, ...]:
    """The operations at which exactness was lost."""
    lost = []
    for node in graph.nodes:
        sources = [views[source] for source in node.all_input_nodes if source in views]
        if node in views and not views[node].exact and all(source.exact for source in sources):
            lost.append(op_name(node))
    return tuple(dict.fromkeys(lost))
