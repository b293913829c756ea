"""How many numbers a model is made of, wherever it keeps them: parameters, buffers, constants, literals in its code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.fx import Node

from tinydigits.trace.field import View
from tinydigits.trace.graph import BATCH_SIZE, Graph, arguments, op_name, tensor_of
from tinydigits.trace.inventory import inventory

__all__ = ["Weights", "weigh"]

# Numbers that stand alone (a mean, a temperature, a divisor) are architecture; hundreds of them are weights in hiding.
_FEW = 64
_HOLDS_ONLY = frozenset({
    "alias", "bitwise_not", "clone", "contiguous", "detach", "expand", "expand_as", "flatten", "lift_fresh_copy",
    "logical_not", "permute", "reshape", "slice", "squeeze", "to", "_to_copy", "transpose", "unsqueeze", "view",
})  # fmt: skip
_ROUTES = frozenset({
    "embedding", "gather", "index", "index_add", "index_put", "index_select", "masked_fill", "scatter", "where",
})  # fmt: skip
_ROUTES |= {"scaled_dot_product_attention", "take_along_dim"}
_ARITHMETIC = frozenset({"add", "div", "full", "mul", "pow", "rsub", "scalar_tensor", "sub"})


@dataclass(frozen=True)
class Weights:
    """Counts of numbers; `buffer_weights` are those in buffers that are no running statistics of a normalisation."""

    parameters: int
    trainable: int
    unused: int
    buffers: int
    buffer_weights: int
    constants: int


def weigh(model: nn.Module, graphs: Sequence[Graph], views: Sequence[dict[Node, View]]) -> Weights:
    """Count what a model holds and what its graphs, one for each mode, use.

    A number counts once however often it is used, and in whatever form: as a buffer, a tensor outside of
    `parameters()`, or more than a few literals in the forward's code. Whole numbers that only say which of the image's
    values to take are routing, not weights.
    """
    held = inventory(model)
    unique = {id(p): p for p in held.parameters.values()}.values()
    named = {name: id(p) for name, p in held.parameters.items()}
    used = {named.get(name) for graph in graphs for name in graph.parameters.values()}
    parameters = sum(p.numel() for p in unique)
    trainable = sum(p.numel() for p in unique if p.requires_grad)
    unused = sum(p.numel() for p in unique if id(p) not in used)
    in_buffers: dict[str, Tensor] = {}
    constants: list[Tensor] = []
    for graph, seen in zip(graphs, views, strict=True):
        for node, name in graph.buffers.items():
            if not _is_statistic(graph, node) and not _only_routes(graph, node, seen):
                in_buffers[name] = graph.values[node]
        for node, tensor in graph.constants.items():
            is_copy = any(other.shape == tensor.shape and torch.equal(other, tensor) for other in constants)
            if not is_copy and not _only_routes(graph, node, seen):
                constants.append(tensor)
    buffers = sum(b.numel() for b in {id(b): b for b in held.buffers.values()}.values())
    alone = [tensor for tensor in (*in_buffers.values(), *constants) if _is_one_number(tensor)]
    num_alone = len(alone) + max(sum(1 for _ in _literals(graph)) for graph in graphs)
    return Weights(
        parameters, trainable, unused, buffers,
        sum(tensor.numel() for tensor in in_buffers.values() if not _is_one_number(tensor)),
        sum(t.numel() for t in constants if not _is_one_number(t)) + (num_alone if num_alone > _FEW else 0),
    )  # fmt: skip


def _is_one_number(tensor: Tensor) -> bool:
    return tensor.numel() < 2 or bool((tensor == tensor.reshape(-1)[0]).all())


def _users(graph: Graph, node: Node) -> Iterator[Node]:
    """The operations that do something with a value, past those that only hold it."""
    for user in node.users:
        if user not in graph.inputs or user not in set(graph.nodes):
            continue
        result = tensor_of(user)
        held = (result is not None and not result.is_floating_point()) or not _is_whole(node)
        if op_name(user) in _HOLDS_ONLY and held:
            yield from _users(graph, user)
        else:
            yield user


def _is_whole(node: Node) -> bool:
    value = tensor_of(node)
    return value is not None and not value.is_floating_point()


def _is_statistic(graph: Graph, node: Node) -> bool:
    """Whether a buffer is nothing but a normalisation's running mean or variance."""
    return all(
        op_name(user) in ("batch_norm", "instance_norm")
        and node in (arguments(user).get("running_mean"), arguments(user).get("running_var"))
        for user in _users(graph, node)
    )


def _only_routes(graph: Graph, node: Node, views: dict[Node, View]) -> bool:
    """Whether whole numbers or a mask only say which of the image's values to take, and are no more than those.

    A table that picks the same values again and again, or picks from parameters, is as good as weights: with two values
    it makes a binary net of any size.
    """

    def routes(user: Node) -> bool:
        values = [source for source in user.all_input_nodes if source in views]
        most = max(map(_size, values), default=0) // BATCH_SIZE
        return op_name(user) in _ROUTES and user in views and _size(node) <= most

    return _is_whole(node) and all(map(routes, _users(graph, node)))


def _size(node: Node) -> int:
    value = tensor_of(node)
    return 0 if value is None else value.numel()


def _literals(graph: Graph) -> Iterator[float]:
    """Numbers that the forward's code writes out in its arithmetic."""
    for node in graph.nodes:
        if op_name(node) in _ARITHMETIC:
            yield from (value for value in node.args if isinstance(value, (int, float)) and value not in (0, 1))
