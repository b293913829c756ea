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

__all__ = ["as_torch"]

Values = list[Any]
Attributes = dict[str, Any]


def as_torch(proto: Any, where: str) -> nn.Module:
    """Rebuild a graph (onnx's ModelProto); raises TinydigitsError that names an operation it does not know."""
    unknown = {node.op_type for node in proto.graph.node} - _OPERATIONS.keys()
    if unknown:
        raise TinydigitsError(
            where, f"its graph has operations whose structure is not read: {', '.join(sorted(unknown))}"
        )
    return _Graph(proto.graph)


class _Graph(nn.Module):
    """The nodes of a graph, in the file's order."""

    def __init__(self, graph: Any) -> None:
        from onnx import helper, numpy_helper

        super().__init__()
        self.static: dict[str, np.ndarray] = {}
        self.places: dict[str, str] = {}
        self.nodes = [
            (
                node.op_type,
                tuple(node.input),
                tuple(node.output),
                {a.name: helper.get_attribute_value(a) for a in node.attribute},
            )
            for node in graph.node
        ]
        arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        for op, _, outputs, attributes in self.nodes:
            if op == "Constant":
                arrays[outputs[0]] = _constant(attributes, numpy_helper)
        statistics = {name for op, inputs, _, _ in self.nodes if op == "BatchNormalization" for name in inputs[3:5]}
        for name, array in arrays.items():
            self._keep(name, np.array(array), name in statistics)
        self.nodes = [node for node in self.nodes if node[0] != "Constant"]
        self.image = next(one.name for one in graph.input if one.name not in arrays)
        self.answer = graph.output[0].name

    def _keep(self, name: str, array: np.ndarray, is_statistic: bool) -> None:
        """Whole numbers of 32 bits and more are shapes and positions; a number alone is no weight."""
        if array.dtype in (np.int64, np.int32, np.bool_):
            self.static[name] = array
            return
        place = self.places[name] = "w_" + "".join(letter if letter.isalnum() else "_" for letter in name)
        if is_statistic or array.size < 2:
            self.register_buffer(place, torch.from_numpy(array.copy()))
        else:
            tensor = torch.from_numpy(array.copy())
            self.register_parameter(place, nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))

    def forward(self, images: Tensor) -> Tensor:
        values: dict[str, Any] = {"": None, self.image: images} | self.static
        values |= {name: getattr(self, place) for name, place in self.places.items()}
        for op, inputs, outputs, attributes in self.nodes:
            values[outputs[0]] = _OPERATIONS[op]([values[name] for name in inputs], attributes)
        answer: Tensor = values[self.answer]
        return answer


def _shape(given: Values, attributes: Attributes) -> np.ndarray:
    sizes = np.array(given[0].shape, dtype=np.int64)
    return sizes[attributes.get("start", 0) : attributes.get("end", len(sizes))]


def _constant(attributes: Attributes, numpy_helper: Any) -> np.ndarray:
    (name, value), *_ = attributes.items()
    if name == "value":
        return np.asarray(numpy_helper.to_array(value))
    return np.asarray(value, dtype=np.int64 if "int" in name else np.float32)


def _ints(value: Any) -> list[int]:
    return [int(number) for number in np.asarray(value).reshape(-1)]


def _pads(attributes: Attributes, num_dims: int) -> list[int]:
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise TinydigitsError("an .onnx", "its graph pads by rule (auto_pad), whose structure is not read")
    return list(attributes.get("pads", [0] * 2 * num_dims))


def _padded(value: Tensor, pads: list[int], fill: float) -> tuple[Tensor, list[int]]:
    """Symmetric padding is the operation's own; any other is laid round the value before it."""
    half = len(pads) // 2
    if pads[:half] == pads[half:]:
        return value, pads[:half]
    return F.pad(value, [side for i in reversed(range(half)) for side in (pads[i], pads[half + i])], value=fill), [
        0
    ] * half


def _conv(given: Values, attributes: Attributes) -> Tensor:
    value, weight = given[0], given[1]
    num_dims = weight.ndim - 2
    value, padding = _padded(value, _pads(attributes, num_dims), 0.0)
    convolve = {1: F.conv1d, 2: F.conv2d}[num_dims]
    return convolve(
        value, weight, given[2] if len(given) > 2 else None, attributes.get("strides", [1] * num_dims), padding,
        attributes.get("dilations", [1] * num_dims), attributes.get("group", 1),
    )  # fmt: skip


def _max_pool(given: Values, attributes: Attributes) -> Tensor:
    kernel = attributes["kernel_shape"]
    value, padding = _padded(given[0], _pads(attributes, len(kernel)), float("-inf"))
    return F.max_pool2d(
        value, kernel, attributes.get("strides", [1] * len(kernel)), padding,
        attributes.get("dilations", [1] * len(kernel)), bool(attributes.get("ceil_mode", 0)),
    )  # fmt: skip


def _average_pool(given: Values, attributes: Attributes) -> Tensor:
    kernel = attributes["kernel_shape"]
    value, padding = _padded(given[0], _pads(attributes, len(kernel)), 0.0)
    return F.avg_pool2d(
        value, kernel, attributes.get("strides", [1] * len(kernel)), padding, bool(attributes.get("ceil_mode", 0)),
        bool(attributes.get("count_include_pad", 0)),
    )  # fmt: skip


def _batch_norm(given: Values, attributes: Attributes) -> Tensor:
    value, weight, bias, mean, variance = given
    return F.batch_norm(value, mean, variance, weight, bias, False, 0.0, attributes.get("epsilon", 1e-5))


def _gemm(given: Values, attributes: Attributes) -> Tensor:
    value, weight = given[0], given[1]
    value = value.t() if attributes.get("transA") else value
    weight = weight if attributes.get("transB") else weight.t()
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        raise TinydigitsError(
            "an .onnx", "its graph scales a matrix product (alpha, beta), whose structure is not read"
        )
    return F.linear(value, weight, given[2] if len(given) > 2 else None)


def _reduced(how: Callable[..., Any]) -> Callable[[Values, Attributes], Any]:
    def reduce(given: Values, attributes: Attributes) -> Any:
        axes = _ints(given[1]) if len(given) > 1 and given[1] is not None else list(attributes.get("axes", []))
        keep = bool(attributes.get("keepdims", 1))
        return how(given[0], axes or list(range(given[0].ndim)), keep)

    return reduce


def _reshape(given: Values, attributes: Attributes) -> Any:
    shape = _ints(given[1])
    if not attributes.get("allowzero"):
        shape = [given[0].shape[i] if side == 0 else side for i, side in enumerate(shape)]
    return given[0].reshape(shape)


def _axes(given: Values, attributes: Attributes) -> list[int]:
    return _ints(given[1]) if len(given) > 1 else list(attributes.get("axes", []))


def _squeeze(given: Values, attributes: Attributes) -> Any:
    axes = tuple(_axes(given, attributes))
    return np.squeeze(given[0], axes or None) if isinstance(given[0], np.ndarray) else given[0].squeeze(axes)


def _unsqueeze(given: Values, attributes: Attributes) -> Any:
    value = given[0]
    for axis in sorted(_axes(given, attributes)):
        value = np.expand_dims(value, axis) if isinstance(value, np.ndarray) else value.unsqueeze(axis)
    return value


def _concatenated(given: Values, attributes: Attributes) -> Any:
    if all(isinstance(value, np.ndarray) for value in given):
        return np.concatenate(given, attributes["axis"])
    return torch.cat(given, attributes["axis"])


def _gather(given: Values, attributes: Attributes) -> Any:
    axis = attributes.get("axis", 0)
    if isinstance(given[0], np.ndarray):
        return np.take(given[0], given[1], axis)
    return given[0].index_select(axis, torch.from_numpy(np.asarray(given[1]).reshape(-1)))


def _cast(given: Values, attributes: Attributes) -> Any:
    from onnx import helper

    dtype = helper.tensor_dtype_to_np_dtype(attributes["to"])
    return (
        given[0].astype(dtype)
        if isinstance(given[0], np.ndarray)
        else given[0].to(torch.from_numpy(np.zeros(1, dtype)).dtype)
    )


def _pad(given: Values, attributes: Attributes) -> Tensor:
    if attributes.get("mode", b"constant") != b"constant":
        raise TinydigitsError("an .onnx", "its graph pads by reflection, whose structure is not read")
    pads = _ints(given[1])
    half = len(pads) // 2
    fill = float(given[2]) if len(given) > 2 and given[2] is not None else 0.0
    return F.pad(given[0], [side for i in reversed(range(half)) for side in (pads[i], pads[half + i])], value=fill)


def _slice(given: Values, attributes: Attributes) -> Any:
    starts, ends = _ints(given[1]), _ints(given[2])
    axes = _ints(given[3]) if len(given) > 3 and given[3] is not None else list(range(len(starts)))
    steps = _ints(given[4]) if len(given) > 4 and given[4] is not None else [1] * len(starts)
    cut = [slice(None)] * given[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return given[0][tuple(cut)]


def _clip(given: Values, attributes: Attributes) -> Tensor:
    low = given[1] if len(given) > 1 else attributes.get("min")
    high = given[2] if len(given) > 2 else attributes.get("max")
    if low is not None and float(low) == 0 and high is None:
        return given[0].relu()
    return given[0].clamp(None if low is None else float(low), None if high is None else float(high))


def _dequantised(given: Values, attributes: Attributes) -> Tensor:
    value, scale = given[0], given[1]
    zero = given[2] if len(given) > 2 and given[2] is not None else torch.zeros(())
    if scale.numel() > 1:
        shape = [1] * value.ndim
        shape[attributes.get("axis", 1)] = -1
        scale, zero = (
            scale.reshape(shape),
            torch.as_tensor(zero).reshape(shape if torch.as_tensor(zero).numel() > 1 else []),
        )
    return (torch.as_tensor(value).to(scale.dtype) - torch.as_tensor(zero).to(scale.dtype)) * scale


def _quantised(given: Values, attributes: Attributes) -> Tensor:
    """Rounded to the grid and kept as floats, for what follows takes the grid away again."""
    value, scale = given[0], given[1]
    zero = given[2] if len(given) > 2 and given[2] is not None else torch.zeros((), dtype=torch.uint8)
    limits = torch.iinfo(zero.dtype)
    return (value / scale).round().add(zero.to(value.dtype)).clamp(limits.min, limits.max)


def _einsum(given: Values, attributes: Attributes) -> Tensor:
    return torch.einsum(attributes["equation"].decode(), *given)


def _either(numpy: Callable[..., Any], tensor: Callable[..., Any]) -> Callable[[Values, Attributes], Any]:
    """Arithmetic on shapes while the graph is walked, or on the image's values in the graph."""
    return lambda given, _: (numpy if all(isinstance(one, np.ndarray) for one in given) else tensor)(
        *(
            torch.from_numpy(one) if isinstance(one, np.ndarray) and any(isinstance(g, Tensor) for g in given) else one
            for one in given
        )
    )


def _plain(function: Callable[..., Any]) -> Callable[[Values, Attributes], Any]:
    return lambda given, _: function(given[0])


_OPERATIONS: dict[str, Callable[[Values, Attributes], Any]] = {
    "Abs": _plain(torch.abs),
    "Add": _either(np.add, torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concatenated,
    "Constant": lambda given, attributes: None,
    "Conv": _conv,
    "DequantizeLinear": _dequantised,
    "Div": _either(np.floor_divide, torch.div),
    "Dropout": _plain(lambda value: value),
    "Einsum": _einsum,
    "Elu": lambda given, attributes: F.elu(given[0], attributes.get("alpha", 1.0)),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Flatten": lambda given, attributes: given[0].flatten(attributes.get("axis", 1)),
    "Gather": _gather,
    "Gelu": lambda given, attributes: F.gelu(given[0], approximate=attributes.get("approximate", b"none").decode()),
    "Gemm": _gemm,
    "GlobalAveragePool": _plain(lambda value: F.adaptive_avg_pool2d(value, 1)),
    "GlobalMaxPool": _plain(lambda value: F.adaptive_max_pool2d(value, 1)),
    "HardSigmoid": lambda given, attributes: (
        given[0] * attributes.get("alpha", 0.2) + attributes.get("beta", 0.5)
    ).clamp(0, 1),
    "HardSwish": _plain(F.hardswish),
    "Identity": _plain(lambda value: value),
    "LeakyRelu": lambda given, attributes: F.leaky_relu(given[0], attributes.get("alpha", 0.01)),
    "Log": _plain(torch.log),
    "LogSoftmax": lambda given, attributes: given[0].log_softmax(attributes.get("axis", -1)),
    "MatMul": lambda given, _: torch.matmul(given[0], given[1]),
    "MaxPool": _max_pool,
    "Mul": _either(np.multiply, torch.mul),
    "Neg": _plain(torch.neg),
    "PRelu": lambda given, _: torch.where(given[0] > 0, given[0], given[0] * given[1]),
    "Pad": _pad,
    "Pow": _either(np.power, torch.pow),
    "QuantizeLinear": _quantised,
    "ReduceMax": _reduced(torch.amax),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _plain(torch.sigmoid),
    "Slice": _slice,
    "Softmax": lambda given, attributes: given[0].softmax(attributes.get("axis", -1)),
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _either(np.subtract, torch.sub),
    "Tanh": _plain(torch.tanh),
    "Transpose": lambda given, attributes: given[0].permute(attributes.get("perm") or [*range(given[0].ndim)][::-1]),
    "Unsqueeze": _unsqueeze,
}
