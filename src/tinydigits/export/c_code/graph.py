"""The graph that C is made of: few kinds of nodes over images, channels last; read from ONNX.

A tensor is one image's channels × rows × columns, a vector C × 1 × 1; the batch is gone. A flattened image keeps its
shape: the linear layer that takes it becomes a convolution as large as the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinydigits.errors import TinydigitsError

__all__ = ["Graph", "Node", "Shape", "read_onnx"]

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Node:
    """One step. `kind` is one of conv, max, mean, add, mul, concat, affine, activation.

    `weight` is (out, in ÷ groups, rows, columns). `slope` is that of the activation at the node's end, below zero: 1 is
    none, 0 is ReLU. `scale` and `shift` are an affine map of each channel: the whole of an affine node; for a
    convolution what follows its activation. `function` names an activation that is no slope.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    counts_padding: bool = True
    slope: float = 1.0
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    function: str = ""


@dataclass
class Graph:
    """Nodes in order; `image` is grey levels of 0 to 255 mapped by `image_scale · pixel + image_shift`."""

    image: str
    output: str
    shapes: dict[str, Shape]
    nodes: list[Node] = field(default_factory=list)
    image_scale: float = 1.0
    image_shift: float = 0.0

    def consumers(self, name: str) -> list[Node]:
        return [node for node in self.nodes if name in node.inputs]


def read_onnx(proto: Any) -> Graph:
    """Read what `tinydigits export onnx` writes: grey levels of 0 to 1 in, logits out.

    Raises TinydigitsError for an operation that C is not written for.
    """
    from onnx import helper, numpy_helper

    reader = _Reader({entry.name: numpy_helper.to_array(entry) for entry in proto.graph.initializer})
    (image,) = (put for put in proto.graph.input if put.name not in reader.constants)
    channels, rows, columns = (dim.dim_value for dim in image.type.tensor_type.shape.dim[1:])
    reader.shapes[image.name] = (channels, rows, columns)
    for node in proto.graph.node:
        attributes = {entry.name: helper.get_attribute_value(entry) for entry in node.attribute}
        if node.op_type == "Constant":
            reader.constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
            continue
        if node.op_type not in _READERS:
            raise TinydigitsError("export c", f"no C is written for ONNX's {node.op_type}", hint="onnx")
        inputs = [reader.alias.get(name, name) for name in node.input]
        _READERS[node.op_type](reader, inputs, node.output[0], attributes)
    output = proto.graph.output[0].name
    return Graph(image.name, reader.alias.get(output, output), reader.shapes, reader.nodes, image_scale=1 / 255)


@dataclass
class _Reader:
    constants: dict[str, np.ndarray]
    shapes: dict[str, Shape] = field(default_factory=dict)
    alias: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, tuple[str, int]] = field(default_factory=dict)  # an image cut into blocks of so many pixels
    nodes: list[Node] = field(default_factory=list)

    def add(self, node: Node, shape: Shape) -> None:
        self.nodes.append(node)
        self.shapes[node.output] = shape


_Attributes = Mapping[str, Any]


def _conv(reader: _Reader, inputs: list[str], output: str, attributes: _Attributes) -> None:
    weight = reader.constants[inputs[1]].astype(np.float64)
    bias = reader.constants[inputs[2]].astype(np.float64) if len(inputs) > 2 else np.zeros(len(weight))
    window = _window(attributes, weight.shape[2:])
    node = Node("conv", (inputs[0],), output, weight, bias, groups=attributes.get("group", 1), **window)
    reader.add(node, (len(weight), *_slide(reader.shapes[inputs[0]], node)))


def _linear(reader: _Reader, inputs: list[str], output: str, attributes: _Attributes) -> None:
    if attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1 or attributes.get("transA", 0):
        raise TinydigitsError("export c", "no C is written for a Gemm with alpha, beta or transA")
    matrix = reader.constants[inputs[1]].astype(np.float64)
    matrix = matrix if attributes.get("transB", 0) else matrix.T
    shape = reader.shapes[inputs[0]]
    if matrix.shape[1] != np.prod(shape):
        raise TinydigitsError("export c", "no C is written for a linear layer over a part of its input")
    weight = matrix.reshape(len(matrix), *shape)
    bias = reader.constants[inputs[2]].astype(np.float64) if len(inputs) > 2 else np.zeros(len(weight))
    reader.add(Node("conv", (inputs[0],), output, weight, bias, kernel=shape[1:]), (len(weight), 1, 1))


def _norm(reader: _Reader, inputs: list[str], output: str, attributes: _Attributes) -> None:
    gamma, beta, mean, variance = (reader.constants[name].astype(np.float64) for name in inputs[1:5])
    scale = gamma / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    node = Node("affine", (inputs[0],), output, scale=scale, shift=beta - mean * scale)
    reader.add(node, reader.shapes[inputs[0]])


def _pool(kind: str) -> Callable[..., None]:
    def read(reader: _Reader, inputs: list[str], output: str, attributes: _Attributes) -> None:
        shape = reader.shapes[inputs[0]]
        if attributes.get("ceil_mode", 0):
            raise TinydigitsError("export c", "no C is written for a pool with ceil_mode")
        window = _window(attributes, attributes.get("kernel_shape", shape[1:]))  # a global pool has no kernel
        counts = bool(attributes.get("count_include_pad", 0))
        node = Node(kind, (inputs[0],), output, counts_padding=counts, **window)
        reader.add(node, (shape[0], *_slide(shape, node)))

    return read


def _reduce(kind: str) -> Callable[..., None]:
    def read(reader: _Reader, inputs: list[str], output: str, attributes: _Attributes) -> None:
        axes = attributes.get("axes") or (reader.constants[inputs[1]].tolist() if len(inputs) > 1 else None)
        if axes is None or {axis % 4 for axis in axes} != {2, 3}:
            raise TinydigitsError("export c", f"no C is written for a {kind} over other axes than rows and columns")
        shape = reader.shapes[inputs[0]]
        reader.add(Node(kind, (inputs[0],), output, kernel=shape[1:]), (shape[0], 1, 1))

    return read


def _arithmetic(operation: str) -> Callable[..., None]:
    def read(reader: _Reader, inputs: list[str], output: str, attributes: _Attributes) -> None:
        constants = [name for name in inputs if name in reader.constants]
        if not constants:
            if operation not in ("add", "mul"):
                raise TinydigitsError("export c", f"no C is written for {operation} of two images")
            first, second = sorted(inputs, key=lambda name: -int(np.prod(reader.shapes[name])))
            if reader.shapes[second] not in (reader.shapes[first], (reader.shapes[first][0], 1, 1)):
                raise TinydigitsError("export c", f"no C is written for {operation} of images of other sizes")
            reader.add(Node(operation, (first, second), output), reader.shapes[first])
            return
        value = reader.constants[constants[0]].astype(np.float64).ravel()
        (image,) = (name for name in inputs if name not in reader.constants)
        shape = reader.shapes[image]
        if (operation in ("sub", "div") and inputs[0] != image) or value.size not in (1, shape[0]):
            raise TinydigitsError("export c", f"no C is written for this {operation} with a constant")
        value = np.broadcast_to(value, shape[0])
        one, nothing = np.ones(shape[0]), np.zeros(shape[0])
        if operation in ("add", "sub"):
            scale, shift = one, value if operation == "add" else -value
        else:
            scale, shift = value if operation == "mul" else 1 / value, nothing
        reader.add(Node("affine", (image,), output, scale=scale, shift=shift), shape)

    return read


def _activation(function: str) -> Callable[..., None]:
    def read(reader: _Reader, inputs: list[str], output: str, attributes: _Attributes) -> None:
        slope = {"relu": 0.0, "leaky": attributes.get("alpha", 0.01)}.get(function, 1.0)
        name = "" if function in ("relu", "leaky") else function
        reader.add(Node("activation", (inputs[0],), output, slope=slope, function=name), reader.shapes[inputs[0]])

    return read


def _concat(reader: _Reader, inputs: list[str], output: str, attributes: _Attributes) -> None:
    shapes = [reader.shapes[name] for name in inputs]
    if attributes["axis"] not in (1, -3) and not (attributes["axis"] == -1 and shapes[0][1:] == (1, 1)):
        raise TinydigitsError("export c", "no C is written for a concatenation along another axis than the channels")
    reader.add(Node("concat", tuple(inputs), output), (sum(shape[0] for shape in shapes), *shapes[0][1:]))


def _rename(reader: _Reader, inputs: list[str], output: str, attributes: _Attributes) -> None:
    """What moves no number: an image that is flattened, a vector that gets or loses rows and columns of one."""
    target = reader.constants[inputs[1]].tolist() if len(inputs) > 1 and inputs[1] in reader.constants else []
    if len(target) == 6 and target[3] == target[5] > 1:
        reader.blocks[output] = (inputs[0], target[3])
        return
    if inputs[0] in reader.blocks:
        _unshuffle(reader, *reader.blocks[inputs[0]], output)
        return
    if len(target) > 2 and attributes.get("allowzero") is not None and tuple(target[1:]) != reader.shapes[inputs[0]]:
        raise TinydigitsError("export c", "no C is written for a reshape other than flatten")
    reader.alias[output] = inputs[0]


def _transpose(reader: _Reader, inputs: list[str], output: str, attributes: _Attributes) -> None:
    if inputs[0] not in reader.blocks or list(attributes["perm"]) != [0, 1, 3, 5, 2, 4]:
        raise TinydigitsError("export c", "no C is written for a transpose other than PixelUnshuffle's", hint="onnx")
    reader.blocks[output] = reader.blocks[inputs[0]]


def _unshuffle(reader: _Reader, image: str, size: int, output: str) -> None:
    """Each pixel of a block a channel of its own: a convolution that picks it."""
    channels, rows, columns = reader.shapes[image]
    weight = np.tile(np.eye(size * size).reshape(-1, 1, size, size), (channels, 1, 1, 1))
    node = Node(
        "conv",
        (image,),
        output,
        weight,
        np.zeros(len(weight)),
        kernel=(size, size),
        stride=(size, size),
        groups=channels,
    )
    reader.add(node, (len(weight), rows // size, columns // size))


_READERS: dict[str, Callable[..., None]] = {
    "Conv": _conv, "Gemm": _linear, "MatMul": _linear, "BatchNormalization": _norm,
    "MaxPool": _pool("max"), "AveragePool": _pool("mean"),
    "GlobalMaxPool": _pool("max"), "GlobalAveragePool": _pool("mean"),
    "ReduceMax": _reduce("max"), "ReduceMean": _reduce("mean"),
    "Add": _arithmetic("add"), "Sub": _arithmetic("sub"), "Mul": _arithmetic("mul"), "Div": _arithmetic("div"),
    "Relu": _activation("relu"), "LeakyRelu": _activation("leaky"), "Sigmoid": _activation("sigmoid"),
    "Concat": _concat,
    "Flatten": _rename, "Reshape": _rename, "Squeeze": _rename, "Unsqueeze": _rename, "Identity": _rename,
    "Transpose": _transpose,
    # The probabilities are made at the end, whatever the model gives: softmax of these two gives them again.
    "LogSoftmax": _rename,
}  # fmt: skip


def _window(attributes: _Attributes, kernel: Any) -> dict[str, Any]:
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise TinydigitsError("export c", "no C is written for automatic padding")
    if (top, left) != (bottom, right):
        raise TinydigitsError("export c", "no C is written for padding that differs from side to side")
    return {
        "kernel": tuple(kernel), "stride": tuple(attributes.get("strides", (1, 1))), "padding": (top, left),
        "dilation": tuple(attributes.get("dilations", (1, 1))),
    }  # fmt: skip


def _slide(shape: Shape, node: Node) -> tuple[int, int]:
    rows, columns = (
        (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for size, padding, dilation, kernel, stride in zip(
            shape[1:], node.padding, node.dilation, node.kernel, node.stride, strict=True
        )
    )
    return rows, columns
