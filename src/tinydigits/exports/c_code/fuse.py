"""What one loop can do becomes one node.

Normalisation goes into the image, BatchNorm into convolutions, activations into what they follow.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinydigits.exports.c_code.graph import Graph, Node

__all__ = ["fuse"]


def fuse(graph: Graph) -> Graph:
    """Fuse until nothing is left to fuse; changes the graph and gives it."""
    while any(_fuse_at(graph, index) for index in range(len(graph.nodes))):
        pass
    for index in range(len(graph.nodes)):
        _push_at(graph, index)
    return graph


def _fuse_at(graph: Graph, index: int) -> bool:
    node = graph.nodes[index]
    if node.kind == "affine" and node.inputs[0] == graph.image and len(graph.consumers(graph.image)) == 1:
        assert node.scale is not None and node.shift is not None
        if np.ptp(node.scale) == np.ptp(node.shift) == 0:
            graph.image_scale *= float(node.scale[0])
            graph.image_shift = graph.image_shift * float(node.scale[0]) + float(node.shift[0])
            graph.image = node.output
            del graph.nodes[index]
            return True
    followers = graph.consumers(node.output)
    if len(followers) != 1 or node.output == graph.output:
        return False
    after = followers[0]
    position = graph.nodes.index(after)
    if node.kind == "max" and _rises(after):
        # The largest stays the largest, so this may come first and then join what is before it.
        graph.nodes[index] = replace(after, inputs=node.inputs, output=node.output)
        graph.nodes[position] = replace(node, inputs=(node.output,), output=after.output)
        graph.shapes[node.output] = graph.shapes[node.inputs[0]]
        return True
    fused = _together(node, after)
    if fused is None:
        return False
    graph.nodes[position] = fused
    del graph.nodes[index]
    return True


def _rises(node: Node) -> bool:
    """Whether a larger number always gives a larger one, or the same."""
    if node.kind == "affine":
        return node.scale is not None and bool(np.all(node.scale > 0))
    return node.kind == "activation" and not node.function and node.slope >= 0


def _together(node: Node, after: Node) -> Node | None:
    """Two nodes in one, where there is a way."""
    if node.kind == "conv" and node.scale is None and after.kind == "affine":
        assert after.scale is not None and after.shift is not None and node.weight is not None
        if node.slope == 1:
            weight, bias = node.weight * after.scale[:, None, None, None], node.bias * after.scale + after.shift
            return replace(node, weight=weight, bias=bias, output=after.output)
        return replace(node, scale=after.scale, shift=after.shift, output=after.output)
    is_plain = node.kind in ("conv", "add") and node.slope == 1 and node.scale is None
    if is_plain and after.kind == "activation" and not after.function:
        return replace(node, slope=after.slope, output=after.output)
    return None


def _push_at(graph: Graph, index: int) -> None:
    """Move what follows a convolution's activation into the next one's weights, where no padding lies between."""
    node = graph.nodes[index]
    followers = graph.consumers(node.output)
    if node.kind != "conv" or node.scale is None or node.shift is None or len(followers) != 1:
        return
    after = followers[0]
    if after.kind != "conv" or after.padding != (0, 0) or after.weight is None or node.output == graph.output:
        return
    # The input channel of each weight (out, in ÷ groups): an output channel sees those of its group.
    per_group = after.weight.shape[1]
    group = np.arange(len(after.weight)) // (len(after.weight) // after.groups)
    channel = group[:, None] * per_group + np.arange(per_group)
    bias = after.bias + (after.weight * node.shift[channel][:, :, None, None]).sum(axis=(1, 2, 3))
    weight = after.weight * node.scale[channel][:, :, None, None]
    graph.nodes[graph.nodes.index(after)] = replace(after, weight=weight, bias=bias)
    graph.nodes[index] = replace(node, scale=None, shift=None)
