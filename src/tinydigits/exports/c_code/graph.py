"""The graph that C is made of: few kinds of nodes over images, channels last; made from ONNX.

A tensor is one image's channels × rows × columns, a vector C × 1 × 1; the batch is gone. A flattened image keeps its
shape: the linear layer that takes it becomes a convolution as large as the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tinydigits.errors import TinydigitsError
from tinydigits.onnx_graph import OnnxGraph

__all__ = ["Graph", "Node", "Shape", "from_onnx"]

Array = np.ndarray
Shape = tuple[int, int, int]
_ZERO = np.zeros(1)
_WEIGHTED = ("Conv", "Gemm", "MatMul", "BatchNormalization")


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

    def size(self, name: str) -> tuple[int, int]:
        """A tensor's pixels and channels."""
        channels, rows, columns = self.shapes[name]
        return rows * columns, channels


def from_onnx(onnx: OnnxGraph) -> Graph:
    """Translate a graph that `tinydigits export onnx` writes: grey levels of 0 to 1 in, logits out.

    Raises TinydigitsError for an operation that C is not written for.
    """
    ((image, (_, channels, rows, columns)),) = onnx.inputs.items()
    values = {key: one.astype(np.float64) if one.dtype.kind == "f" else one for key, one in onnx.constants.items()}
    draft = _Draft(values, {image: (channels, rows, columns)})
    for node in onnx.nodes:
        if node.op not in _OPERATIONS:
            raise TinydigitsError("export c", f"no C is written for ONNX's {node.op}", hint="onnx")
        inputs = [draft.values.get(name, name) for name in node.inputs]
        if node.op in _WEIGHTED and not all(isinstance(value, np.ndarray) for value in inputs[1:]):
            raise TinydigitsError("export c", f"no C is written for {node.op} of two images", hint="onnx")
        _OPERATIONS[node.op](draft, node.outputs[0], *inputs, **node.attributes)
    output = str(draft.values.get(onnx.outputs[0], onnx.outputs[0]))
    return Graph(image, output, draft.shapes, draft.nodes, image_scale=1 / 255)


@dataclass
class _Draft:
    """The graph so far. `values` are the constants, and for a name that stands for another image that one's name."""

    values: dict[str, Any]
    shapes: dict[str, Shape]
    blocks: dict[str, tuple[str, int]] = field(default_factory=dict)  # an image cut into blocks of so many pixels
    nodes: list[Node] = field(default_factory=list)

    def add(self, node: Node, shape: Shape) -> None:
        self.nodes.append(node)
        self.shapes[node.output] = shape


# An operation takes the draft, its output's name, ONNX's inputs (images by name, constants as arrays) and attributes.


def _conv(
    draft: _Draft, output: str, image: str, weight: Array, bias: Array = _ZERO, group: int = 1, **window: Any
) -> None:
    window = _window(weight.shape[2:], **window)
    node = Node("conv", (image,), output, weight, np.resize(bias, len(weight)), groups=group, **window)
    draft.add(node, (len(weight), *_slide(draft.shapes[image], node)))


def _linear(
    draft: _Draft, output: str, image: str, matrix: Array, bias: Array = _ZERO, alpha: float = 1.0, beta: float = 1.0,
    transA: int = 0, transB: int = 0,
) -> None:  # fmt: skip
    if alpha != 1 or beta != 1 or transA:
        raise TinydigitsError("export c", "no C is written for a Gemm with alpha, beta or transA")
    shape, matrix = draft.shapes[image], matrix if transB else matrix.T
    if matrix.shape[1] != np.prod(shape):
        raise TinydigitsError("export c", "no C is written for a linear layer over a part of its input")
    weight = matrix.reshape(len(matrix), *shape)
    node = Node("conv", (image,), output, weight, np.resize(bias, len(weight)), kernel=shape[1:])
    draft.add(node, (len(weight), 1, 1))


def _norm(draft: _Draft, output: str, image: str, *weights: Array, epsilon: float = 1e-5, **_: Any) -> None:
    gamma, beta, mean, variance = weights
    scale = gamma / np.sqrt(variance + epsilon)
    draft.add(Node("affine", (image,), output, scale=scale, shift=beta - mean * scale), draft.shapes[image])


def _pool(kind: str, draft: _Draft, output: str, image: str, kernel_shape: Any = None, **window: Any) -> None:
    shape = draft.shapes[image]
    node = Node(kind, (image,), output, **_window(kernel_shape or shape[1:], **window))  # a global pool has no kernel
    draft.add(node, (shape[0], *_slide(shape, node)))


def _reduce(kind: str, draft: _Draft, output: str, image: str, axes: Any = None, **_: Any) -> None:
    if axes is None or {int(axis) % 4 for axis in axes} != {2, 3}:
        raise TinydigitsError("export c", f"no C is written for a {kind} over other axes than rows and columns")
    shape = draft.shapes[image]
    draft.add(Node(kind, (image,), output, kernel=shape[1:]), (shape[0], 1, 1))


def _arithmetic(kind: str, draft: _Draft, output: str, first: Any, second: Any) -> None:
    if isinstance(first, str) and isinstance(second, str):
        if kind not in ("add", "mul"):
            raise TinydigitsError("export c", f"no C is written for {kind} of two images")
        large, small = sorted((first, second), key=lambda name: -int(np.prod(draft.shapes[name])))
        if draft.shapes[small] not in (draft.shapes[large], (draft.shapes[large][0], 1, 1)):
            raise TinydigitsError("export c", f"no C is written for {kind} of images of other sizes")
        draft.add(Node(kind, (large, small), output), draft.shapes[large])
        return
    image, value = (first, second) if isinstance(first, str) else (second, first)
    shape = draft.shapes[image]
    if (kind in ("sub", "div") and image is not first) or value.size not in (1, shape[0]):
        raise TinydigitsError("export c", f"no C is written for this {kind} with a constant")
    value = np.resize(value, shape[0])
    scale, shift = np.ones(shape[0]), np.zeros(shape[0])
    if kind in ("add", "sub"):
        shift = value if kind == "add" else -value
    else:
        scale = value if kind == "mul" else 1 / value
    draft.add(Node("affine", (image,), output, scale=scale, shift=shift), shape)


def _activation(function: str, draft: _Draft, output: str, image: str, alpha: float) -> None:
    draft.add(Node("activation", (image,), output, slope=alpha, function=function), draft.shapes[image])


def _concat(draft: _Draft, output: str, *images: str, axis: int) -> None:
    shapes = [draft.shapes[name] for name in images]
    if axis not in (1, -3) and not (axis == -1 and shapes[0][1:] == (1, 1)):
        raise TinydigitsError("export c", "no C is written for a concatenation along another axis than the channels")
    draft.add(Node("concat", images, output), (sum(shape[0] for shape in shapes), *shapes[0][1:]))


def _rename(draft: _Draft, output: str, value: Any, *_: Array, **__: Any) -> None:
    """What moves no number, as where a vector gets or loses rows and columns of one."""
    draft.values[output] = value


def _reshape(draft: _Draft, output: str, image: str, target: Array, **_: Any) -> None:
    """A flattened image is still the image. PixelUnshuffle is a reshape to blocks, a transpose, and another reshape."""
    _, *sides = target.tolist()
    if len(sides) == 5 and sides[2] == sides[4] > 1:
        draft.blocks[output] = (image, sides[2])
    elif image in draft.blocks:
        _unshuffle(draft, output, *draft.blocks[image])
    elif len(sides) > 1 and tuple(sides) != draft.shapes[image]:
        raise TinydigitsError("export c", "no C is written for a reshape other than flatten")
    else:
        draft.values[output] = image


def _transpose(draft: _Draft, output: str, image: str, perm: Any = None) -> None:
    if image not in draft.blocks or perm != [0, 1, 3, 5, 2, 4]:
        raise TinydigitsError("export c", "no C is written for a transpose other than PixelUnshuffle's", hint="onnx")
    draft.blocks[output] = draft.blocks[image]


def _unshuffle(draft: _Draft, output: str, image: str, size: int) -> None:
    """Each pixel of a block a channel of its own: a convolution that picks it."""
    channels, rows, columns = draft.shapes[image]
    weight = np.tile(np.eye(size * size).reshape(-1, 1, size, size), (channels, 1, 1, 1))
    window = _window((size, size), strides=(size, size))
    node = Node("conv", (image,), output, weight, np.zeros(len(weight)), groups=channels, **window)
    draft.add(node, (len(weight), rows // size, columns // size))


_OPERATIONS: dict[str, Callable[..., None]] = {
    "Conv": _conv, "Gemm": _linear, "MatMul": _linear, "BatchNormalization": _norm,
    "MaxPool": partial(_pool, "max"), "AveragePool": partial(_pool, "mean"),
    "GlobalMaxPool": partial(_pool, "max"), "GlobalAveragePool": partial(_pool, "mean"),
    "ReduceMax": partial(_reduce, "max"), "ReduceMean": partial(_reduce, "mean"),
    "Add": partial(_arithmetic, "add"), "Sub": partial(_arithmetic, "sub"),
    "Mul": partial(_arithmetic, "mul"), "Div": partial(_arithmetic, "div"),
    "Relu": partial(_activation, "", alpha=0.0), "LeakyRelu": partial(_activation, "", alpha=0.01),
    "Sigmoid": partial(_activation, "sigmoid", alpha=1.0),
    "Concat": _concat, "Reshape": _reshape, "Transpose": _transpose,
    "Flatten": _rename, "Squeeze": _rename, "Unsqueeze": _rename, "Identity": _rename,
    # The probabilities are made at the end, whatever the model gives: softmax of these two gives them again.
    "LogSoftmax": _rename,
}  # fmt: skip


def _window(
    kernel: Any, strides: Any = (1, 1), pads: Any = (0, 0, 0, 0), dilations: Any = (1, 1), auto_pad: str = "NOTSET",
    ceil_mode: int = 0, count_include_pad: int = 0, **_: Any,
) -> dict[str, Any]:  # fmt: skip
    top, left, bottom, right = pads
    if auto_pad != "NOTSET" or ceil_mode:
        what = "a pool with ceil_mode" if ceil_mode else "automatic padding"
        raise TinydigitsError("export c", f"no C is written for {what}")
    if (top, left) != (bottom, right):
        raise TinydigitsError("export c", "no C is written for padding that differs from side to side")
    kernel, stride, dilation = (tuple(sides) for sides in (kernel, strides, dilations))
    return {
        "kernel": kernel, "stride": stride, "padding": (top, left), "dilation": dilation,
        "counts_padding": bool(count_include_pad),
    }  # fmt: skip


def _slide(shape: Shape, node: Node) -> tuple[int, int]:
    windows = zip(shape[1:], node.padding, node.dilation, node.kernel, node.stride, strict=True)
    rows, columns = (
        (size + 2 * pad - step * (side - 1) - 1) // stride + 1 for size, pad, step, side, stride in windows
    )
    return rows, columns
