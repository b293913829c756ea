"""Layers in the field's terms."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from torch import Tensor
from torch.fx import Node

from tinydigits.errors import printable
from tinydigits.trace.cost import multiply_adds
from tinydigits.trace.field import View
from tinydigits.trace.graph import Graph, arguments, op_name, tensor_of

__all__ = ["KINDS", "Layer", "layers_of"]

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
    "gru": "recurrent",
    "lstm": "recurrent",
    "rnn_relu": "recurrent",
    "rnn_tanh": "recurrent",
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

_MASKS = frozenset({"bernoulli", "dropout", "feature_dropout", "native_dropout"})

# No network drops one number in a thousand; one in a billion is a dropout in name only.
_LEAST_DROPOUT = 1e-3

KINDS = (
    "add", "attention", "avg_pool", "batch_norm", "cat", "conv", "conv_transpose", "depthwise_conv", "dropout",
    "einsum", "flatten", "global_average_pool", "global_max_pool", "group_norm", "instance_norm", "layer_norm",
    "linear", "matmul", "max_pool", "mul", "recurrent", "relu", "sigmoid", "softmax", "stochastic_depth",
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


def layers_of(graph: Graph, views: dict[Node, View]) -> tuple[Layer, ...]:
    """The operations that the output depends on and that depend on the image, in order."""
    layers: list[Layer] = []
    counted: set[str] = set()
    weights: dict[Node, list[str]] = {node: [name] for node, name in graph.parameters.items()}
    for node in graph.nodes:
        sources = graph.inputs[node]
        names = list(dict.fromkeys(name for source in node.all_input_nodes for name in weights.get(source, ())))
        if node not in views:
            weights[node] = names  # made of weights alone: they belong to the layer that uses it
            if op_name(node) in _MASKS:
                layers.append(_mask(node))
            continue
        output = _first_tensor(node)
        if output is None or op_name(node) == "getitem":
            continue
        num_parameters = 0
        for name in (name for name in names if name not in counted):
            counted.add(name)
            num_parameters += _numel(next(n for n, known in graph.parameters.items() if known == name))
        before = next((views[n] for n in node.all_input_nodes if n in views), None)
        layers.append(
            Layer(
                name=node.name,
                kinds=_kinds(node, output, before, views, train=graph.train),
                path=_module_path(node),
                op=str(node.target),
                output_shape=tuple(output.shape[1:]),
                num_parameters=num_parameters,
                parameter_names=tuple(names),
                macs=multiply_adds(node, views),
                receptive_field=views[node].size,
                map_size=views[node].num_positions,
                inputs=tuple(_through_items(source).name for source in sources if source in views),
            )
        )
    return tuple(layers)


def _mask(node: Node) -> Layer:
    """A random mask that is drawn without a look at the image: what it multiplies is left out as a whole."""
    path, shape = _module_path(node), tuple(getattr(_first_tensor(node), "shape", ()))[1:]
    return Layer(node.name, ("stochastic_depth",), path, str(node.target), shape, 0, (), 0, (0, 0), (1, 1), ())


def _first_tensor(node: Node) -> Tensor | None:
    value = node.meta.get("val")
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    return value if isinstance(value, Tensor) else None


def _through_items(node: Node) -> Node:
    while op_name(node) == "getitem" and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return node


def _numel(node: Node) -> int:
    value = tensor_of(node)
    return int(value.numel()) if value is not None else 0


def _module_path(node: Node) -> str:
    """The innermost module that the operation was called in, as in `features.0`; empty for the model itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return printable(str(stack[-1][0])) if stack else ""


def _kinds(node: Node, output: Tensor, before: View | None, views: dict[Node, View], *, train: bool) -> tuple[str, ...]:
    name, args, after = op_name(node), arguments(node), views[node]
    kind = _KIND_OF_OP.get(name, name)
    extra: tuple[str, ...] = ()
    if kind == "conv":
        groups = args.get("groups", 1)
        channels = tensor_of(args["input"])
        if groups > 1 and channels is not None and groups == channels.shape[1]:
            return "depthwise_conv", "conv"
    if kind == "dropout" and not (_LEAST_DROPOUT <= args.get("p", 0) < 1 and args.get("train", True)):
        return ("no_dropout",)
    if kind == "batch_norm" and train and not args["training"]:
        return ("frozen_batch_norm",)  # does not look at the batch even in train mode: a scale and a shift
    if kind == "reshape" and before is not None and output.ndim < len(before.axes):
        return ("flatten",)
    if kind in ("matmul", "einsum") and any(n not in views for n in node.all_input_nodes):
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
