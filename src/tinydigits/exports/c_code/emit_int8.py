"""C in 8 bits: integers alone up to the logits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tinydigits.errors import TinydigitsError
from tinydigits.exports.c_code.graph import Graph, Node
from tinydigits.exports.c_code.header import Source, render
from tinydigits.exports.c_code.interpret import interpret
from tinydigits.exports.c_code.plan import plan
from tinydigits.exports.c_code.quantise import Steps, fixed, steps_of
from tinydigits.models import WeightsCard

__all__ = ["emit_int8"]


def emit_int8(graph: Graph, card: WeightsCard, calibration_NHW: np.ndarray, *, title: str, file: str) -> str:
    """The header of a fused graph, its steps measured on calibration images, uint8 (N, H, W)."""
    values = interpret(graph, calibration_NHW)
    steps = steps_of(graph, values)
    graph = replace(graph, nodes=[_corrected(node, values) if node.kind == "conv" else node for node in graph.nodes])
    last = graph.nodes[-1]
    is_whole = last.output == graph.output and graph.shapes[last.output][1:] == (1, 1)
    keeps_sums = is_whole and last.slope == 1 and last.scale is None and last.kind in ("conv", "mean")
    keeps_sums &= last.groups == 1
    offsets, size = plan(graph, needs_image=False)
    source = Source("int8")
    source.need("window")
    for number, node in enumerate(graph.nodes):
        names = (*node.inputs, node.output)
        places = ["image" if name == graph.image else f"s + {offsets[name]}" for name in names]
        source.calls.append(f"/* {node.kind}: {'×'.join(map(str, graph.shapes[node.output]))} */")
        if keeps_sums and node is last:
            _logits(source, graph, node, number, places[0], steps)
        else:
            _EMITTERS[node.kind](source, graph, node, number, places, steps)
    num = len(card.classes)
    if not keeps_sums:
        final = steps[graph.output]
        (factor,), shift = fixed(final.scale * 65536)
        source.call("dequantise", f"s + {offsets[graph.output]}", "logits", final.zero, factor, shift, num)
    body = [
        f"TD_SCRATCH uint8_t s[{size}];", f"int32_t logits[{num}];", *source.calls,
        f"return td_softmax(logits, probabilities, {num});",
    ]  # fmt: skip
    return render(source, card, title=title, file=file, scratch=size, body=body)


_Steps = Mapping[str, Steps]


def _rounded(node: Node) -> tuple[np.ndarray, np.ndarray]:
    """A layer's weights as 8-bit integers, and what one of them is worth in each output channel."""
    assert node.weight is not None
    worth = np.abs(node.weight).max(axis=(1, 2, 3)) / 127
    worth[worth == 0] = 1.0
    return np.round(node.weight / worth[:, None, None, None]).astype(np.int8), worth


def _corrected(node: Node, values: Mapping[str, np.ndarray]) -> Node:
    """The layer with what its rounded weights lose on average, over the calibration images, put into its bias.

    Bias correction as in Nagel et al. 2019 (Data-free quantization), with measured means.
    """
    assert node.weight is not None and node.bias is not None
    weight, worth = _rounded(node)
    lost = (node.weight - weight * worth[:, None, None, None]).sum(axis=(2, 3))
    mean = values[node.inputs[0]].mean(axis=(0, 2, 3)).reshape(node.groups, -1)
    return replace(node, bias=node.bias + (lost * mean.repeat(len(weight) // node.groups, axis=0)).sum(axis=1))


def _weights(source: Source, node: Node, number: int, in_steps: Steps) -> tuple[str, str, np.ndarray]:
    """The names of weights and biases in C, and what one of a channel's sums is worth."""
    assert node.bias is not None
    weight, weight_worth = _rounded(node)
    worth = in_steps.scale * weight_worth
    bias = np.clip(np.round(node.bias / worth), -(2**30), 2**30).astype(np.int32)
    name = source.array(f"td_w{number}", weight.transpose(0, 2, 3, 1))  # [output][row][column][input channel]
    return name, source.array(f"td_b{number}", bias), worth


def _conv(source: Source, graph: Graph, node: Node, number: int, places: list[str], steps: _Steps) -> None:
    in_steps, out_steps = steps[node.inputs[0]], steps[node.output]
    weight, bias, worth = _weights(source, node, number, in_steps)
    scale = np.ones(len(worth)) if node.scale is None else node.scale
    (factors,), shift = fixed(worth * scale / out_steps.scale)
    offsets, offset = "0", out_steps.zero * 65536
    if node.shift is not None:
        values = np.round((out_steps.zero + node.shift / out_steps.scale) * 65536)
        offsets = source.array(f"td_t{number}", np.clip(values, -(2**31), 2**31 - 1).astype(np.int32))
    window = source.window(graph, node, number)
    source.need("round")
    source.need("dot")
    source.call(
        "conv", *places, in_steps.zero, weight, bias, source.array(f"td_m{number}", factors), offsets, offset, shift,
        round(node.slope * 32768), len(worth) // node.groups, window,
    )  # fmt: skip


def _logits(source: Source, graph: Graph, node: Node, number: int, place: str, steps: _Steps) -> None:
    in_steps = steps[node.inputs[0]]
    window = source.window(graph, node, number)
    if node.kind == "mean":
        source.need("sum")
        (factor,), shift = fixed(65536 * in_steps.scale / (node.kernel[0] * node.kernel[1]))
        source.call("mean_logits", place, "logits", in_steps.zero, factor, shift, window)
        return
    weight, bias, worths = _weights(source, node, number, in_steps)
    source.need("dot")
    (factors,), shift = fixed(65536 * worths)
    name = source.array(f"td_m{number}", factors)
    source.call("logits", place, "logits", in_steps.zero, weight, bias, name, shift, window)


def _max(source: Source, graph: Graph, node: Node, number: int, places: list[str], steps: _Steps) -> None:
    source.call("max", *places, source.window(graph, node, number))


def _mean(source: Source, graph: Graph, node: Node, number: int, places: list[str], steps: _Steps) -> None:
    in_steps, out_steps = steps[node.inputs[0]], steps[node.output]
    if node.padding != (0, 0) and not node.counts_padding:
        raise TinydigitsError(
            "export c-int8", "no C is written for a mean that leaves padding out of its count", hint="c"
        )
    (factor,), shift = fixed(in_steps.scale / out_steps.scale / (node.kernel[0] * node.kernel[1]))
    window = source.window(graph, node, number)
    source.need("round")
    source.need("sum")
    source.call("mean", *places, in_steps.zero, factor, out_steps.zero, shift, window)


def _two(source: Source, graph: Graph, node: Node, number: int, places: list[str], steps: _Steps) -> None:
    first, second, out_steps = (steps[name] for name in (*node.inputs, node.output))
    pixels, channels = graph.size(node.output)
    sizes = (pixels, channels, graph.size(node.inputs[1])[0])
    source.need("round")
    if node.kind == "add":
        factors, shift = fixed(first.scale / out_steps.scale, second.scale / out_steps.scale)
    else:
        factors, shift = fixed(first.scale * second.scale / out_steps.scale)
    # ReLU after a sum needs nothing: the smallest step is zero then.
    source.call(node.kind, *places, *sizes, first.zero, second.zero, *factors, out_steps.zero, shift)


def _table(source: Source, graph: Graph, node: Node, number: int, places: list[str], steps: _Steps) -> None:
    """An activation or an affine map: 256 answers, for each channel where channels differ."""
    in_steps, out_steps = steps[node.inputs[0]], steps[node.output]
    channels, rows, columns = graph.shapes[node.output]
    values = (np.arange(256) - in_steps.zero) * in_steps.scale
    if node.kind == "affine":
        assert node.scale is not None and node.shift is not None
        answers = values * node.scale[:, None] + node.shift[:, None]
    elif node.function:
        answers = {"sigmoid": 1 / (1 + np.exp(-values))}[node.function][None]
    else:
        answers = np.where(values < 0, values * node.slope, values)[None]
    name = source.array(f"td_l{number}", out_steps.quantise(answers))
    source.call("table", *places, name, rows * columns, channels, len(answers))


def _concat(source: Source, graph: Graph, node: Node, number: int, places: list[str], steps: _Steps) -> None:
    first, (pixels, total), out_steps = 0, graph.size(node.output), steps[node.output]
    source.need("round")
    for name, place in zip(node.inputs, places[:-1], strict=True):
        channels = graph.size(name)[1]
        (factor,), shift = fixed(steps[name].scale / out_steps.scale)
        where = f"{places[-1]} + {first}"
        source.call("concat", place, where, pixels, channels, total, steps[name].zero, factor, out_steps.zero, shift)
        first += channels


_EMITTERS = {
    "conv": _conv, "max": _max, "mean": _mean, "add": _two, "mul": _two, "affine": _table, "activation": _table,
    "concat": _concat,
}  # fmt: skip
