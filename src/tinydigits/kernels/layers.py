"""torch's layers, forward and backward, in C of our own, for two orders of memory.

Tensors keep torch's order of dimensions, (B, C, H, W); their strides say in what order they lie. So whatever is not
here (sums, dropout, other activations, the head) is torch's own, and a model of any code can be trained so.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tinydigits.kernels.library import LANES, Layer, load_kernels
from tinydigits.recipe import Recipe

__all__ = ["BATCH_LAST", "CHANNELS_LAST", "Order", "order_of", "train_in_c"]


@dataclass(frozen=True)
class Order:
    """An order of memory: the dimensions (B, C, H, W) from the slowest to the fastest, and the precision it is for."""

    name: str
    dims: tuple[int, int, int, int]
    dtype: torch.dtype

    @property
    def kernels(self) -> ctypes.CDLL:
        """The functions in C, see `load_kernels`."""
        return load_kernels(self.name)

    def takes(self, features: Tensor) -> bool:
        """Whether the functions in C can take these values, once they are in order."""
        return (
            features.dim() == 4 and features.dtype == self.dtype and features.device.type == "cpu"
            and len(features) % LANES == 0
        )  # fmt: skip

    def has(self, features: Tensor) -> bool:
        """Whether they are in order."""
        return features.permute(self.dims).is_contiguous() and features.data_ptr() % 64 == 0

    def of(self, features: Tensor) -> Tensor:
        """The same values in order: themselves, or a copy."""
        return features if self.has(features) else self.new(features.shape).copy_(features)

    def new(self, shape: Sequence[int]) -> Tensor:
        """Memory of this order, not yet filled; no view, for autograd lets no Function return one to be overwritten."""
        strides, size = [0] * 4, 1
        for dim in reversed(self.dims):
            strides[dim] = size
            size *= shape[dim]
        return torch.empty_strided(shape, strides, dtype=self.dtype)


BATCH_LAST = Order("batch_last", (1, 2, 3, 0), torch.float32)
CHANNELS_LAST = Order("channels_last", (0, 2, 3, 1), torch.bfloat16)


def order_of(recipe: Recipe) -> Order | None:
    """The order of memory whose layers in C a recipe asks for, if it does.

    >>> from tinydigits import recipe
    >>> order_of(recipe.load("frontier-3k")).name, order_of(recipe.load("sprint"))
    ('batch_last', None)
    """
    return BATCH_LAST if recipe.batch_last else CHANNELS_LAST if recipe.fused else None


def train_in_c(model: nn.Module, order: Order) -> None:
    """Let a model train by layers in C, on the CPU.

    >>> from tinydigits import models
    >>> model = models.build("separable-cnn", {})
    >>> train_in_c(model, BATCH_LAST)
    >>> model(torch.zeros(32, 1, 28, 28)).shape
    torch.Size([32, 10])

    `BATCH_LAST` has the images of a batch side by side in memory, in single precision; convolutions of stride 1 (dense
    and depthwise), BatchNorm, ReLU and 2×2 maxima then run in C, on 16 images or more at once. Libraries cut such
    layers along their channels, and have little to cut where those are 4 to 20; along the images every vector is full
    whatever the layer. The layout: Krizhevsky 2012 (cuda-convnet), Nervana's neon.

    `CHANNELS_LAST` is for bfloat16 by autocast: BatchNorm, with the ReLU in place after it, and 2×2 maxima run in C,
    and convolutions by torch, which has matrix instructions for them.

    The mathematics is torch's, the order of some sums is not. In eval mode, without gradients, and for batches that are
    no multiple of 16 images, the model is as it was. Raises TinydigitsError where no C compiler is found.
    """
    load_kernels(order.name)
    model.forward = partial(_forward, model, model.forward, order)


def _forward(model: nn.Module, forward: Any, order: Order, images_BCHW: Tensor) -> Tensor:
    if not (model.training and torch.is_grad_enabled()):
        return forward(images_BCHW)
    with _InC(order):
        return forward(images_BCHW)


class _InC(TorchFunctionMode):
    """Every call of a torch function comes by here; what is not in `_LAYERS`, or does not fit, goes on to torch.

    A BatchNorm waits for the call after it: a ReLU in its place becomes part of it, forward and backward, and saves
    passes over memory. Before any other call it runs as it is, so nothing sees that it waited.
    """

    def __init__(self, order: Order) -> None:
        super().__init__()
        self.order, self.layers = order, _LAYERS[order.name]
        self.waiting: tuple[Tensor, Callable[[bool], None]] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        layer, kwargs = self.layers.get(func), kwargs or {}
        if self.waiting is not None:
            (normed, make), self.waiting = self.waiting, None
            takes_relu = func in _RELUS and args[0] is normed and _is_in_place(func, *args[1:], **kwargs)
            make(takes_relu)
            if takes_relu:
                return normed
        result = layer(self, func, *args, **kwargs) if layer else None
        return func(*args, **kwargs) if result is None else result

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if self.waiting is not None:
            self.waiting[1](False)


def _address(values: Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, order: Order, features: Tensor, weight: Tensor, bias: Tensor | None, pad: int) -> Tensor:
        features, weight = order.of(features), weight.contiguous()
        num_images, channels, height, width = features.shape
        num_out, per_group, kernel, _ = weight.shape
        layer = Layer(channels, num_out, height, width, kernel, pad, num_images // LANES)
        out = order.new((num_images, num_out, height + 2 * pad - kernel + 1, width + 2 * pad - kernel + 1))
        ctx.layer, ctx.is_depthwise, ctx.has_bias, ctx.order = layer, per_group < channels, bias is not None, order
        run = order.kernels.depthwise if ctx.is_depthwise else order.kernels.conv
        run(layer, _address(features), _address(weight), _address(bias), _address(out), torch.get_num_threads())
        ctx.save_for_backward(features, weight)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (features, weight), gradient = ctx.saved_tensors, ctx.order.of(gradients[0])
        kernels, layer, threads = ctx.order.kernels, ctx.layer, torch.get_num_threads()
        to_weight, to_features = torch.empty_like(weight), None
        run = kernels.depthwise_weights if ctx.is_depthwise else kernels.conv_weights
        run(layer, _address(features), _address(gradient), _address(to_weight), threads)
        if ctx.needs_input_grad[1]:
            to_features = ctx.order.new(features.shape)
            turned = weight.flip(2, 3) if ctx.is_depthwise else weight.flip(2, 3).transpose(0, 1)
            turned = turned.contiguous()
            back = Layer(
                layer.num_out, layer.num_in, gradient.shape[2], gradient.shape[3], layer.kernel,
                layer.kernel - 1 - layer.pad, layer.vectors,
            )  # fmt: skip
            run = kernels.depthwise if ctx.is_depthwise else kernels.conv
            run(back, _address(gradient), _address(turned), None, _address(to_features), threads)
        return None, to_features, to_weight, gradient.sum((0, 2, 3)) if ctx.has_bias else None, None


def _conv2d_by_torch(mode: _InC, func: Any, input: Tensor, *rest: Any, **others: Any) -> Tensor | None:
    """torch's own, for images of one channel, whose memory is of every order, and told to be of this one.

    torch answers in the order of the strides that it is given, and takes those of one channel for the other order: the
    layers up to the first maximum would all be made in that.
    """
    if input.dim() != 4 or input.shape[1] != 1:
        return None
    images_BHW1 = input.reshape(len(input), *input.shape[2:], 1)
    result: Tensor = func(images_BHW1.permute(0, 3, 1, 2), *rest, **others)
    return result


def _conv2d(
    mode: _InC, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Tensor | None:  # fmt: skip
    if isinstance(padding, str) or not (mode.order.takes(input) and weight.dtype == torch.float32):
        return None
    channels, (num_out, _, kernel, kernel_width), (pad, pad_width) = input.shape[1], weight.shape, _pair(padding)
    fits = (
        kernel == kernel_width and pad == pad_width < kernel <= min(input.shape[2:]) + 2 * pad
        and (groups == 1 or groups == channels == num_out)
        and _pair(stride) == _pair(dilation) == (1, 1)
    )  # fmt: skip
    return _Conv.apply(mode.order, input, weight, bias, pad) if fits else None


class _Norm(torch.autograd.Function):
    """Gives memory that is not filled yet; `_batch_norm` does that."""

    @staticmethod
    def forward(ctx: Any, order: Order, features: Tensor, weight: Tensor, bias: Tensor, statistics: Tensor) -> Tensor:
        ctx.order, ctx.with_relu = order, False
        ctx.save_for_backward(features, weight, bias, statistics)
        return order.new(features.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (features, weight, bias, statistics), gradient = ctx.saved_tensors, ctx.order.of(gradients[0])
        to_features, to_weight = ctx.order.new(features.shape), torch.empty_like(weight)
        to_bias = torch.empty_like(bias)
        mean, _, scale = statistics
        ctx.order.kernels.norm_back(
            len(weight), features.numel() // len(weight) // LANES, ctx.with_relu, _address(features),
            _address(gradient), _address(weight), _address(bias), _address(mean), _address(scale),
            _address(to_features), _address(to_weight), _address(to_bias), torch.get_num_threads(),
        )  # fmt: skip
        return None, to_features, to_weight, to_bias, None


def _batch_norm(
    mode: _InC, func: Any, input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False, momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:  # fmt: skip
    channels = input.shape[1]
    weight, bias = torch.ones(channels) if weight is None else weight, torch.zeros(channels) if bias is None else bias
    fits = mode.order.takes(input) and mode.order.has(input) and weight.dtype == bias.dtype == torch.float32
    if not (fits and training) or running_mean is None or running_var is None:
        return None
    statistics = torch.empty(3, len(weight))  # mean, biased variance and 1/sd of each channel
    out = _Norm.apply(mode.order, input, weight, bias, statistics)
    node = out.grad_fn

    def make(with_relu: bool) -> None:
        node.with_relu = with_relu
        mode.order.kernels.norm(
            len(weight), input.numel() // len(weight) // LANES, with_relu, eps, _address(input), _address(weight),
            _address(bias), _address(out), *(_address(row) for row in statistics), torch.get_num_threads(),
        )  # fmt: skip
        count = input.numel() // len(weight)
        with torch.no_grad():
            running_mean.lerp_(statistics[0], momentum)
            running_var.lerp_(statistics[1] * (count / (count - 1)), momentum)

    mode.waiting = out, make
    return out


class _ReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, order: Order, features: Tensor, in_place: bool) -> Tensor:
        out = features if in_place else order.new(features.shape)
        order.kernels.relu(features.numel() // LANES, _address(features), _address(out))
        if in_place:
            ctx.mark_dirty(features)
        ctx.order = order
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (out,), gradient = ctx.saved_tensors, ctx.order.of(gradients[0])
        to_features = ctx.order.new(out.shape)
        ctx.order.kernels.relu_back(out.numel() // LANES, _address(out), _address(gradient), _address(to_features))
        return None, to_features, None


def _relu(mode: _InC, func: Any, input: Tensor, inplace: bool = False) -> Tensor | None:
    if not (mode.order.takes(input) and mode.order.has(input)):
        return None
    return _ReLU.apply(mode.order, input, _is_in_place(func, inplace))


def _is_in_place(func: Any, inplace: bool = False) -> bool:
    return inplace or func in (torch.relu_, Tensor.relu_)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, order: Order, features: Tensor) -> Tensor:
        features = order.of(features)
        num_images, channels, height, width = features.shape
        out = order.new((num_images, channels, height // 2, width // 2))
        ctx.order, ctx.size = order, (channels, height, width, num_images // LANES)
        order.kernels.max_pool(*ctx.size, _address(features), _address(out), torch.get_num_threads())
        ctx.save_for_backward(features)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (features,), gradient = ctx.saved_tensors, ctx.order.of(gradients[0])
        to_features = ctx.order.new(features.shape)
        if features.shape[2] % 2 or features.shape[3] % 2:
            to_features.zero_()  # no maximum looks at the last row or column
        ctx.order.kernels.max_pool_back(
            *ctx.size, _address(features), _address(gradient), _address(to_features), torch.get_num_threads()
        )
        return None, to_features


def _max_pool2d(
    mode: _InC, func: Any, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Tensor | None:  # fmt: skip
    fits = (
        mode.order.takes(input) and min(input.shape[2:]) >= 2 and not return_indices and not ceil_mode
        and _pair(kernel_size) == _pair(stride or kernel_size) == (2, 2)
        and _pair(padding) == (0, 0) and _pair(dilation) == (1, 1)
    )  # fmt: skip
    return _MaxPool.apply(mode.order, input) if fits else None


def _pair(value: Any) -> tuple[int, int]:
    """Two numbers, of one or two."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return (numbers[0], numbers[-1])


# By which names torch's own modules, and people's code, ask for a layer.
_RELUS = (F.relu, torch.relu, Tensor.relu, torch.relu_, Tensor.relu_)
_BOTH: dict[Any, Callable[..., Tensor | None]] = {
    F.batch_norm: _batch_norm, F.max_pool2d: _max_pool2d, torch.max_pool2d: _max_pool2d,
}  # fmt: skip
_LAYERS: dict[str, dict[Any, Callable[..., Tensor | None]]] = {
    "batch_last": {**_BOTH, torch.conv2d: _conv2d, **dict.fromkeys(_RELUS, _relu)},
    "channels_last": {**_BOTH, torch.conv2d: _conv2d_by_torch},
}
