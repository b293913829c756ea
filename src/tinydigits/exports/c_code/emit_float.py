"""C in floats."""

from __future__ import annotations

import numpy as np

from tinydigits.exports.c_code.graph import Graph, Node
from tinydigits.exports.c_code.header import Source, c_float, render
from tinydigits.exports.c_code.plan import plan
from tinydigits.models import WeightsCard

__all__ = ["emit_float"]

_LANES = (32, 16, 8, 4, 2, 1)


def emit_float(graph: Graph, card: WeightsCard, *, title: str, file: str) -> str:
    """The header of a fused graph."""
    offsets, size = plan(graph, needs_image=True)
    source = Source("float")
    source.need("window")
    source.need("exp")
    for number, node in enumerate(graph.nodes):
        places = [f"s + {offsets[name]}" for name in (*node.inputs, node.output)]
        source.calls.append(f"/* {node.kind}: {'×'.join(map(str, graph.shapes[node.output]))} */")
        _EMITTERS[node.kind](source, graph, node, number, places)
    num_pixels = int(np.prod(card.input_shape))
    scale, shift = c_float(graph.image_scale), c_float(graph.image_shift)
    image = offsets[graph.image]
    body = [
        f"TD_SCRATCH float s[{size}];",
        f"for (int i = 0; i < {num_pixels}; i++) s[{image} + i] = (float)image[i] * {scale} + {shift};",
        *source.calls,
        f"return td_softmax(s + {offsets[graph.output]}, probabilities, {len(card.classes)});",
    ]
    return render(source, card, title=title, file=file, scratch=4 * size, body=body)


def _conv(source: Source, graph: Graph, node: Node, number: int, places: list[str]) -> None:
    assert node.weight is not None and node.bias is not None
    num_out, per_group = node.weight.shape[:2]
    is_depthwise = per_group == 1 and node.groups == num_out > 1
    window = source.window(graph, node, number)
    weights, bias = [], source.array(f"td_b{number}", node.bias.astype(np.float32))
    scale, shift = (
        source.array(f"td_{letter}{number}", values.astype(np.float32)) if values is not None else ""
        for letter, values in (("m", node.scale), ("t", node.shift))
    )
    calls, at = [], 0
    tile = _tile(graph, node)
    most = 16 if tile > 1 else 32  # so many sums are held in registers
    for group in range(1 if is_depthwise else node.groups):
        num_here = num_out if is_depthwise else num_out // node.groups
        for first, lanes in _cut(num_here, most):
            channel = group * num_here + first
            part = node.weight[channel : channel + lanes].astype(np.float32)
            weights.append(part.transpose(2, 3, 1, 0).ravel())  # [row][column][input channel][lane]
            first_input = channel if is_depthwise else group * per_group
            posts = (f"{scale} + {channel}", f"{shift} + {channel}") if scale else (0, 0)
            calls.append((
                lanes, _add(places[0], first_input), _add(places[1], channel), at, f"{bias} + {channel}",
                c_float(node.slope), *posts, window, tile,
            ))  # fmt: skip
            at += part.size
    name = source.array(f"td_w{number}", np.concatenate(weights))
    for lanes, taken_from, given_to, start, *rest in calls:
        kernel = "depthwise" if is_depthwise else "conv"
        source.need("lanes", lanes)
        source.need(kernel, lanes)
        source.call("slide", f"td_{kernel}_{lanes}", taken_from, given_to, f"{name} + {start}", *rest)


def _tile(graph: Graph, node: Node) -> int:
    """How many neighbouring pixels are computed at once: what covers a row's inside with the least overlap."""
    columns, out_columns = graph.shapes[node.inputs[0]][2], graph.shapes[node.output][2]
    first = -(-node.padding[1] // node.stride[1])
    fits = (columns - 1 - (node.kernel[1] - 1) * node.dilation[1] + node.padding[1]) // node.stride[1] + 1
    inside = max(1, min(fits, out_columns) - first)
    return inside if inside < 4 else min(range(min(8, inside), 3, -1), key=lambda tile: -(-inside // tile) * tile)


def _cut(num: int, most: int) -> list[tuple[int, int]]:
    """Channels in parts that the kernels take at once, at most so many.

    >>> _cut(13, 8)
    [(0, 8), (8, 4), (12, 1)]
    """
    parts, first = [], 0
    for lanes in (lanes for lanes in _LANES if lanes <= most):
        while num - first >= lanes:
            parts.append((first, lanes))
            first += lanes
    return parts


def _pool(source: Source, graph: Graph, node: Node, number: int, places: list[str]) -> None:
    window = source.window(graph, node, number)
    extra = [int(node.counts_padding)] if node.kind == "mean" else []
    source.call(node.kind, *places, *extra, window)


def _two(source: Source, graph: Graph, node: Node, number: int, places: list[str]) -> None:
    pixels, channels = graph.size(node.output)
    extra = [c_float(node.slope)] if node.kind == "add" else []
    source.call(node.kind, *places, pixels, channels, graph.size(node.inputs[1])[0], *extra)


def _affine(source: Source, graph: Graph, node: Node, number: int, places: list[str]) -> None:
    assert node.scale is not None and node.shift is not None
    scale = source.array(f"td_m{number}", node.scale.astype(np.float32))
    shift = source.array(f"td_t{number}", node.shift.astype(np.float32))
    source.call("affine", *places, scale, shift, *graph.size(node.output))


def _activation(source: Source, graph: Graph, node: Node, number: int, places: list[str]) -> None:
    pixels, channels = graph.size(node.output)
    if node.function:
        source.need("exp")
        source.call(node.function, *places, pixels * channels)
    else:
        source.call("slope", *places, pixels * channels, c_float(node.slope))


def _concat(source: Source, graph: Graph, node: Node, number: int, places: list[str]) -> None:
    first, (pixels, total) = 0, graph.size(node.output)
    for name, place in zip(node.inputs, places[:-1], strict=True):
        channels = graph.size(name)[1]
        source.call("concat", place, _add(places[-1], first), pixels, channels, total)
        first += channels


_EMITTERS = {
    "conv": _conv, "max": _pool, "mean": _pool, "add": _two, "mul": _two, "affine": _affine,
    "activation": _activation, "concat": _concat,
}  # fmt: skip


def _add(place: str, more: int) -> str:
    return f"{place} + {more}" if more else place
