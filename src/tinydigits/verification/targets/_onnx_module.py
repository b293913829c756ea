"""An ONNX graph as a module of torch's operations, so that its structure is read as any other model's.

Only for reading: answers come from onnxruntime. What stands in the file as weights becomes parameters, running
statistics become buffers, and shapes are computed while the graph is walked, so that none of it is data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits.errors import TinydigitsError
from tinydigits.onnx_graph import OnnxGraph

__all__ = ["OnnxModule"]


class OnnxModule(nn.Module):
    """The nodes of a graph, in the file's order; raises TinydigitsError for an operation that it does not know."""

    def __init__(self, graph: OnnxGraph, where: str) -> None:
        super().__init__()
        unknown = sorted({node.op for node in graph.nodes} - _OPERATIONS.keys())
        if unknown:
            raise TinydigitsError(where, f"its graph has operations whose structure is not read: {', '.join(unknown)}")
        self.nodes, self.image, self.answer = graph.nodes, next(iter(graph.inputs)), graph.outputs[0]
        self.static: dict[str, np.ndarray] = {}
        self.places: dict[str, str] = {}
        statistics = {name for node in graph.nodes if node.op == "BatchNormalization" for name in node.inputs[3:5]}
        limits = {name for node in graph.nodes if node.op in ("Clip", "Pad") for name in node.inputs[1:]}
        for name, constant in graph.constants.items():
            array = constant.copy()
            # Whole numbers of 32 bits and more are shapes and positions; a number alone is no weight.
            if array.dtype in (np.int64, np.int32, np.bool_) or (array.size == 1 and name in limits):
                self.static[name] = array
                continue
            place = self.places[name] = f"w{len(self.places)}"
            tensor = torch.from_numpy(array)
            if name in statistics or array.size < 2:
                self.register_buffer(place, tensor)
            else:
                self.register_parameter(place, nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))

    def forward(self, images: Tensor) -> Tensor:
        values: dict[str, Any] = {"": None, self.image: images} | self.static
        values |= {name: getattr(self, place) for name, place in self.places.items()}
        for node in self.nodes:
            inputs = [values[name] for name in node.inputs]
            values[node.outputs[0]] = _OPERATIONS[node.op](*inputs, **node.attributes)
        answer: Tensor = values[self.answer]
        return answer


# An operation takes ONNX's inputs in order and its attributes by name, so one parameter is both for what older versions
# have as an attribute and newer ones as an input (axes, pads, min). An array is a shape or a part of one.


def _ints(value: Any) -> list[int]:
    return [] if value is None else [int(number) for number in np.asarray(value).reshape(-1)]


def _sides(pads: list[int]) -> list[int]:
    """Padding in torch's order: the last axis first."""
    half = len(pads) // 2
    return [side for i in reversed(range(half)) for side in (pads[i], pads[half + i])]


def _padded(value: Tensor, pads: Any, auto_pad: str, fill: float = 0.0) -> tuple[Tensor, list[int]]:
    """Symmetric padding is the operation's own; any other is laid round the value before it."""
    if auto_pad not in ("NOTSET", "VALID"):
        raise TinydigitsError("an .onnx", "its graph pads by rule (auto_pad), whose structure is not read")
    half = value.ndim - 2
    pads = pads or [0] * 2 * half
    if pads[:half] == pads[half:]:
        return value, pads[:half]
    return F.pad(value, _sides(pads), value=fill), [0] * half


def _conv(
    value: Tensor, weight: Tensor, bias: Tensor | None = None, strides: Any = 1, pads: Any = None, dilations: Any = 1,
    group: int = 1, auto_pad: str = "NOTSET", **_: Any,
) -> Tensor:  # fmt: skip
    value, padding = _padded(value, pads, auto_pad)
    convolve = {1: F.conv1d, 2: F.conv2d}[weight.ndim - 2]
    return convolve(value, weight, bias, strides, padding, dilations, group)


def _max_pool(
    value: Tensor, kernel_shape: Any, strides: Any = 1, pads: Any = None, dilations: Any = 1, ceil_mode: int = 0,
    auto_pad: str = "NOTSET", **_: Any,
) -> Tensor:  # fmt: skip
    value, padding = _padded(value, pads, auto_pad, float("-inf"))
    return F.max_pool2d(value, kernel_shape, strides, padding, dilations, bool(ceil_mode))


def _average_pool(
    value: Tensor, kernel_shape: Any, strides: Any = 1, pads: Any = None, ceil_mode: int = 0,
    count_include_pad: int = 0, auto_pad: str = "NOTSET", **_: Any,
) -> Tensor:  # fmt: skip
    value, padding = _padded(value, pads, auto_pad)
    return F.avg_pool2d(value, kernel_shape, strides, padding, bool(ceil_mode), bool(count_include_pad))


def _batch_norm(value: Tensor, *weights: Tensor, epsilon: float = 1e-5, **_: Any) -> Tensor:
    weight, bias, mean, variance = weights
    return F.batch_norm(value, mean, variance, weight, bias, False, 0.0, epsilon)


def _gemm(
    value: Tensor, weight: Tensor, bias: Tensor | None = None, alpha: float = 1.0, beta: float = 1.0, transA: int = 0,
    transB: int = 0,
) -> Tensor:  # fmt: skip
    if alpha != 1.0 or beta != 1.0:
        raise TinydigitsError("an .onnx", "its graph scales a matrix product, whose structure is not read")
    return F.linear(value.t() if transA else value, weight if transB else weight.t(), bias)


def _reduced(how: Callable[..., Any]) -> Callable[..., Any]:
    return lambda value, axes=None, keepdims=1, **_: how(value, _ints(axes) or [*range(value.ndim)], bool(keepdims))


def _reshape(value: Any, shape: Any, allowzero: int = 0) -> Any:
    sides = [value.shape[i] if side == 0 and not allowzero else side for i, side in enumerate(_ints(shape))]
    return value.reshape(sides)


def _squeeze(value: Any, axes: Any = None) -> Any:
    return value.squeeze() if axes is None else value.squeeze(tuple(_ints(axes)))


def _unsqueeze(value: Any, axes: Any) -> Any:
    for axis in sorted(_ints(axes)):
        value = np.expand_dims(value, axis) if isinstance(value, np.ndarray) else value.unsqueeze(axis)
    return value


def _cast(value: Any, to: int, **_: Any) -> Any:
    from onnx import helper

    dtype = helper.tensor_dtype_to_np_dtype(to)
    is_shape = isinstance(value, np.ndarray)
    return value.astype(dtype) if is_shape else value.to(torch.from_numpy(np.zeros(1, dtype)).dtype)


def _pad(image: Tensor, pads: Any, value: Any = 0.0, *, mode: str = "constant") -> Tensor:
    if mode != "constant":
        raise TinydigitsError("an .onnx", "its graph pads by reflection, whose structure is not read")
    return F.pad(image, _sides(_ints(pads)), value=float(value or 0.0))


def _slice(value: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    starts, cut = _ints(starts), [slice(None)] * value.ndim
    axes, steps = _ints(axes) or range(len(starts)), _ints(steps) or [1] * len(starts)
    for start, end, axis, step in zip(starts, _ints(ends), axes, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return value[tuple(cut)]


def _clip(value: Tensor, min: Any = None, max: Any = None) -> Tensor:
    low, high = (None if limit is None else float(limit) for limit in (min, max))
    return value.relu() if low == 0 and high is None else value.clamp(low, high)


def _dequantised(value: Any, scale: Tensor, zero: Any = None, axis: int = 1, **_: Any) -> Tensor:
    value, zero = torch.as_tensor(value), torch.zeros(()) if zero is None else torch.as_tensor(zero)
    if scale.numel() > 1:
        shape = [1] * value.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape if zero.numel() > 1 else [])
    return (value.to(scale.dtype) - zero.to(scale.dtype)) * scale


def _quantised(value: Tensor, scale: Tensor, zero: Tensor | None = None, **_: Any) -> Tensor:
    """Rounded to the grid and kept as floats, for what follows takes the grid away again."""
    zero = torch.zeros((), dtype=torch.uint8) if zero is None else zero
    limits = torch.iinfo(zero.dtype)
    return (value / scale).round().add(zero.to(value.dtype)).clamp(limits.min, limits.max)


def _either(numpy: Callable[..., Any], tensor: Callable[..., Any]) -> Callable[..., Any]:
    """On shapes while the graph is walked, or on the image's values in the graph."""

    def compute(*values: Any, **attributes: Any) -> Any:
        if all(isinstance(value, np.ndarray) for value in values):
            return np.asarray(numpy(*values, **attributes))
        values = tuple(torch.from_numpy(value) if isinstance(value, np.ndarray) else value for value in values)
        return tensor(*values, **attributes)

    return compute


_NAMED_ALIKE = ("Abs", "Erf", "Exp", "Log", "Neg", "Relu", "Sigmoid", "Sqrt", "Tanh")
_OPERATIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(torch, name.lower()) for name in _NAMED_ALIKE},
    "Add": _either(np.add, torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _either(
        lambda *values, axis: np.concatenate(values, axis),
        lambda *values, axis: torch.cat(values, axis),
    ),
    "Conv": _conv,
    "DequantizeLinear": _dequantised,
    "Div": _either(np.floor_divide, torch.div),
    "Dropout": lambda value, *_, **__: value,
    "Einsum": lambda *values, equation: torch.einsum(equation, *values),
    "Elu": lambda value, alpha=1.0: F.elu(value, alpha),
    "Flatten": lambda value, axis=1: value.flatten(axis),
    "Gather": _either(
        lambda value, indices, axis=0: np.take(value, indices, axis),
        lambda value, indices, axis=0: value.index_select(axis, indices.reshape(-1)),
    ),
    "Gelu": lambda value, approximate="none": F.gelu(value, approximate=approximate),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda value: F.adaptive_avg_pool2d(value, 1),
    "GlobalMaxPool": lambda value: F.adaptive_max_pool2d(value, 1),
    "HardSigmoid": lambda value, alpha=0.2, beta=0.5: (value * alpha + beta).clamp(0, 1),
    "HardSwish": F.hardswish,
    "Identity": lambda value: value,
    "LeakyRelu": lambda value, alpha=0.01: F.leaky_relu(value, alpha),
    "LogSoftmax": lambda value, axis=-1: value.log_softmax(axis),
    "MatMul": torch.matmul,
    "MaxPool": _max_pool,
    "Mul": _either(np.multiply, torch.mul),
    "PRelu": lambda value, slope: torch.where(value > 0, value, value * slope),
    "Pad": _pad,
    "Pow": _either(np.power, torch.pow),
    "QuantizeLinear": _quantised,
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "Reshape": _reshape,
    "Shape": lambda value, start=0, end=None: np.array(value.shape[start:end], dtype=np.int64),
    "Slice": _slice,
    "Softmax": lambda value, axis=-1: value.softmax(axis),
    "Squeeze": _squeeze,
    "Sub": _either(np.subtract, torch.sub),
    "Transpose": lambda value, perm=None: value.permute(perm or [*range(value.ndim)][::-1]),
    "Unsqueeze": _unsqueeze,
}
