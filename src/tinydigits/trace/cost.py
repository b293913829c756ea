"""Multiply-adds of an operation: convolutions, linear layers and matrix products, in whatever form they are written."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

from tinydigits.trace.field import View
from tinydigits.trace.graph import BATCH_SIZE, arguments, op_name, tensor_of

__all__ = ["multiply_adds"]

_CONVOLUTIONS = frozenset({"conv1d", "conv2d", "conv3d", "convolution"})
_TRANSPOSED = frozenset({"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"})
_PRODUCTS = frozenset({"matmul", "mm", "bmm", "mv", "dot"})
_RECURRENT = frozenset({"gru", "lstm", "rnn_relu", "rnn_tanh"})
_COMPOSED = frozenset({
    "addbmm", "addmv", "addr", "baddbmm", "chain_matmul", "inner", "kron", "linalg_matmul",
    "linalg_multi_dot", "linalg_vecdot", "outer", "tensordot", "vdot",
})  # fmt: skip
_MOVES = frozenset({"flatten", "permute", "reshape", "squeeze", "transpose", "unsqueeze", "view"})


def multiply_adds(node: Node, views: dict[Node, View]) -> int:
    """Multiply-adds of one operation for one image; what multiplies no matrix counts as none.

    A matrix product written as a broadcast multiplication and a sum counts as what it is.
    """
    name, args = op_name(node), arguments(node)
    output = _tensor(node)
    if output is None:
        return 0
    numel = output.numel() // BATCH_SIZE
    if name in _CONVOLUTIONS:
        return numel * prod(_shape(args["weight"])[1:])
    if name in _TRANSPOSED:
        return prod(_shape(args["input"])) // BATCH_SIZE * prod(_shape(args["weight"])[1:])
    if name in ("linear", "addmm"):
        return numel * _shape(args["weight" if name == "linear" else "mat1"])[-1]
    if name in _PRODUCTS:
        return numel * _shape(node.all_input_nodes[0])[-1]
    if name == "scaled_dot_product_attention":
        query, key = _shape(args["query"]), _shape(args["key"])
        return prod(query[:-1]) // BATCH_SIZE * key[-2] * (query[-1] + output.shape[-1])
    if name == "einsum":
        return _of_einsum(args)
    if name in _RECURRENT:
        return _of_recurrent(args)
    if name == "bilinear":
        return numel * prod(_shape(args["weight"])[1:])
    if name in ("cdist", "_cdist_forward"):
        return numel * _shape(args["x1"])[-1]
    if name in _COMPOSED:
        return _counted(node) // BATCH_SIZE
    if name in ("mul", "sub") and _is_outer(node, output):
        return numel
    if name in ("sum", "mean"):
        return _of_weighted_sum(node, args, views)
    return 0


def _tensor(node: Any) -> Tensor | None:
    value = node.meta.get("val") if isinstance(node, Node) else None
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    return value if isinstance(value, Tensor) else None


def _shape(value: Any) -> tuple[int, ...]:
    tensor = tensor_of(value) if isinstance(value, Node) else None
    return tuple(tensor.shape) if tensor is not None and tensor.ndim else (1,)


def _of_einsum(args: dict[str, Any]) -> int:
    terms = args["equation"].replace(" ", "").partition("->")[0].split(",")
    lengths = {
        letter: num
        for term, t in zip(terms, args["tensors"], strict=True)
        for letter, num in zip(term, _shape(t), strict=False)
    }
    return prod(lengths.values()) // BATCH_SIZE if len(terms) > 1 else 0


def _of_recurrent(args: dict[str, Any]) -> int:
    """Every step multiplies by each of the weight matrices once."""
    steps = _shape(args["input"])[1 if args.get("batch_first") else 0]
    return steps * sum(prod(_shape(weight)) for weight in args["params"] if len(_shape(weight)) == 2)


def _counted(node: Node) -> int:
    """What torch's own counter makes of an operation that is composed of products."""
    args, kwargs = tree_map(
        lambda value: torch.empty(tensor.shape, device="meta") if (tensor := _tensor(value)) is not None else value,
        (list(node.args), dict(node.kwargs)),
    )
    assert callable(node.target)
    with FlopCounterMode(display=False) as counter:
        node.target(*args, **kwargs)
    return int(counter.get_total_flops()) // 2


def _is_outer(node: Node, output: Tensor) -> bool:
    """Whether every element of one tensor meets every one of another: the first half of a product or a distance."""
    shapes = [_shape(source) for source in node.args if isinstance(source, Node)]
    return len(shapes) == 2 and all(prod(shape) < output.numel() for shape in shapes) and not _is_gate(shapes)


def _is_gate(shapes: list[tuple[int, ...]]) -> bool:
    """Whether one only scales the other along axes that it has: (B, C, H, 1) · (B, C, 1, W) spreads no channel."""
    return all(shape[0] == BATCH_SIZE and len(shape) == 4 for shape in shapes) and shapes[0][1] == shapes[1][1]


def _of_weighted_sum(node: Node, args: dict[str, Any], views: dict[Node, View]) -> int:
    """A sum over what was just multiplied by weights that differ along the summed axes."""
    source = node.all_input_nodes[0]
    moved = False
    while op_name(source) in _MOVES and source.all_input_nodes:
        source, moved = source.all_input_nodes[0], True
    factors = [factor for factor in source.all_input_nodes if factor not in views]
    product = _tensor(source)
    if op_name(source) != "mul" or not factors or product is None or _is_outer(source, product):
        return 0
    dims = args.get("dim")
    dims = range(product.ndim) if moved or dims in (None, []) else [dims] if isinstance(dims, int) else dims
    weights = (1,) * product.ndim + _shape(factors[0])
    varies = any(weights[-product.ndim :][d % product.ndim] > 1 for d in dims)
    return product.numel() // BATCH_SIZE if varies else 0
