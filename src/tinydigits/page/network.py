"""An exported model in the form that the page's JavaScript runs: a list of operations, and the weights as base64."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np

from tinydigits.errors import TinydigitsError
from tinydigits.onnx_graph import OnnxNode, read_onnx

__all__ = ["UNSURE_BELOW", "network_of"]

UNSURE_BELOW = 0.9
"""The probability under which an answer is unsure, for files that were exported before their cards said it."""

# What network.js has; a batch normalisation becomes one scale and one shift for each channel.
_OPERATIONS = {
    "Add", "AveragePool", "BatchNormalization", "Concat", "Conv", "Div", "Flatten", "Gemm", "GlobalAveragePool",
    "Identity", "LeakyRelu", "MatMul", "MaxPool", "Mul", "ReduceMax", "ReduceMean", "Relu", "Reshape", "Sigmoid", "Sub",
    "Transpose", "Unsqueeze",
}  # fmt: skip
_FIXED = {"auto_pad": "NOTSET", "ceil_mode": 0, "storage_order": 0, "dilations": [1, 1], "transA": 0, "beta": 1.0}
_KEPT = {"strides", "pads", "group", "kernel_shape", "count_include_pad", "keepdims", "transB", "alpha", "perm"}


def network_of(source: Path | bytes, name: str) -> dict[str, Any]:
    """Read an ONNX file that `tinydigits export` wrote, or its bytes; a tree for JSON.

    >>> from tinydigits import pretrained
    >>> network = network_of(pretrained.find("gap-cnn-tuned").onnx, "mine")
    >>> network["name"], network["nodes"][2]["op"]
    ('mine', 'Conv')

    `nodes` are in the order of their work; each has `op`, `inputs`, `output` and attributes. `constants` says of each
    constant its shape and where it starts in `weights`, little-endian float32 in base64; whole numbers stand there as
    lists. Raises TinydigitsError for an operation that the page does not have.
    """
    from tinydigits.models import card_in  # and with it pydantic, which `predict` does without

    where = name if isinstance(source, bytes) else str(source)
    graph = read_onnx(source, where)
    constants = dict(graph.constants)
    nodes = [_operation(where, node, constants) for node in graph.nodes]
    placed: dict[str, Any] = {}
    parts: list[np.ndarray] = []
    num_values = 0
    for key in sorted({key for node in nodes for key in node["inputs"] if key in constants}):
        value = constants[key]
        if value.dtype == np.int64:
            placed[key] = value.reshape(-1).tolist()
            continue
        placed[key] = {"shape": list(value.shape), "start": num_values}
        parts.append(value.astype("<f4").ravel())
        num_values += value.size
    card = card_in(where, graph.metadata)
    if card is None:
        raise TinydigitsError(where, "has no card of tinydigits", hint="tinydigits export RUN onnx")
    return {
        "name": name,
        "source": card.source,
        "classes": card.classes,
        "unsure_below": card.unsure_below or UNSURE_BELOW,
        "input": next(iter(graph.inputs)),
        "output": graph.outputs[0],
        "nodes": nodes,
        "constants": placed,
        "weights": base64.b64encode(np.concatenate(parts).tobytes()).decode("ascii"),
    }


def _operation(where: str, node: OnnxNode, constants: dict[str, np.ndarray]) -> dict[str, Any]:
    unlike = [key for key, value in _FIXED.items() if node.attributes.get(key, value) != value]
    if node.op not in _OPERATIONS or unlike or len(node.outputs) != 1:
        raise TinydigitsError(where, f"the page cannot do the operation {' '.join([node.op, *unlike])}")
    op, inputs, output = node.op, list(node.inputs), node.outputs[0]
    if op == "BatchNormalization":
        gain, bias, mean, variance = (constants[name].astype(np.float64) for name in inputs[1:])
        scale = gain / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
        op, inputs = "Affine", [inputs[0], f"{output}/scale", f"{output}/shift"]
        constants |= {inputs[1]: scale, inputs[2]: bias - mean * scale}
    attributes = {key: value for key, value in node.attributes.items() if key in _KEPT}
    return {"op": op, "inputs": inputs, "output": output, **attributes}
