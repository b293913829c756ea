"""torch's layers, forward and backward, on memory where a batch's images lie side by side.

Tensors keep torch's order of dimensions, (B, C, H, W); their strides say (C, H, W, B). So whatever is not here (sums,
dropout, other activations, the head) is torch's own, and a model of any code can be trained so.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tinydigits.batch_last.kernels import LANES, Layer, load_kernels

__all__ = ["train_batch_last"]


def train_batch_last(model: nn.Module) -> None:
    """Let a model train with the images of a batch side by side in memory, on the CPU in single precision.

    >>> from tinydigits import models
    >>> model = models.build("separable-cnn", {})
    >>> train_batch_last(model)
    >>> model(torch.zeros(32, 1, 28, 28)).shape
    torch.Size([32, 10])

    Convolutions of stride 1 (dense and depthwise), BatchNorm, ReLU and 2×2 maxima then run in C, on 16 images or more
    at once; the mathematics is torch's, the order of some sums is not. In eval mode, without gradients, and for batches
    that are no multiple of 16 images, the model is as it was. Raises TinydigitsError where no C compiler is found.

    Libraries cut such layers along their channels, and have little to cut where those are 4 to 20; along the images
    every vector is full whatever the layer. The layout: Krizhevsky 2012 (cuda-convnet), Nervana's neon.
    """
    model.forward = partial(_forward, model, model.forward, load_kernels())


def _forward(model: nn.Module, forward: Any, kernels: ctypes.CDLL, images_BCHW: Tensor) -> Tensor:
    if not (model.training and torch.is_grad_enabled() and _fits(images_BCHW)):
        return forward(images_BCHW)
    with _BatchLast(kernels):
        return forward(images_BCHW)


class _BatchLast(TorchFunctionMode):
    """Every call of a torch function comes by here; what is not in `_LAYERS`, or does not fit, goes on to torch.

    A BatchNorm waits for the call after it: a ReLU in its place becomes part of it, forward and backward, and saves
    ways through the memory. Before any other call it is made as it is, so nothing sees that it waited.
    """

    def __init__(self, kernels: ctypes.CDLL) -> None:
        super().__init__()
        self.kernels = kernels
        self.waiting: tuple[Tensor, Callable[[bool], None]] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        layer, kwargs = _LAYERS.get(func), kwargs or {}
        if self.waiting is not None:
            (normed, make), self.waiting = self.waiting, None
            takes_relu = layer is _relu and args[0] is normed and _is_in_place(func, *args[1:], **kwargs)
            make(takes_relu)
            if takes_relu:
                return normed
        result = layer(self, func, *args, **kwargs) if layer else None
        return func(*args, **kwargs) if result is None else result

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        if self.waiting is not None:
            self.waiting[1](False)


def _fits(features: Tensor) -> bool:
    return (
        features.dim() == 4 and features.dtype == torch.float32 and features.device.type == "cpu"
        and len(features) % LANES == 0
    )  # fmt: skip


def _is_batch_last(features_BCHW: Tensor) -> bool:
    return features_BCHW.permute(1, 2, 3, 0).is_contiguous() and features_BCHW.data_ptr() % 64 == 0


def _batch_last(features_BCHW: Tensor) -> Tensor:
    """The same values in a memory of this order: themselves, or a copy."""
    if _is_batch_last(features_BCHW):
        return features_BCHW
    return _new(features_BCHW.shape).copy_(features_BCHW)


def _new(shape: Sequence[int]) -> Tensor:
    """Memory of this order, not yet filled. No view, which autograd lets no Function return to be changed in place."""
    num_images, _, height, width = shape
    return torch.empty_strided(shape, (1, height * width * num_images, width * num_images, num_images))


def _address(values: Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: ctypes.CDLL, features: Tensor, weight: Tensor, bias: Tensor | None, pad: int
    ) -> Tensor:
        features, weight = _batch_last(features), weight.contiguous()
        num_images, channels, height, width = features.shape
        num_out, per_group, kernel, _ = weight.shape
        layer = Layer(channels, num_out, height, width, kernel, pad, num_images // LANES)
        out = _new((num_images, num_out, height + 2 * pad - kernel + 1, width + 2 * pad - kernel + 1))
        ctx.layer, ctx.is_depthwise, ctx.has_bias, ctx.kernels = layer, per_group < channels, bias is not None, kernels
        run = kernels.depthwise if ctx.is_depthwise else kernels.conv
        run(layer, _address(features), _address(weight), _address(bias), _address(out), torch.get_num_threads())
        ctx.save_for_backward(features, weight)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (features, weight), gradient = ctx.saved_tensors, _batch_last(gradients[0])
        kernels, layer, threads = ctx.kernels, ctx.layer, torch.get_num_threads()
        to_weight, to_features = torch.empty_like(weight), None
        run = kernels.depthwise_weights if ctx.is_depthwise else kernels.conv_weights
        run(layer, _address(features), _address(gradient), _address(to_weight), threads)
        if ctx.needs_input_grad[1]:
            to_features = _new(features.shape)
            turned = weight.flip(2, 3) if ctx.is_depthwise else weight.flip(2, 3).transpose(0, 1)
            turned = turned.contiguous()
            back = Layer(
                layer.num_out, layer.num_in, gradient.shape[2], gradient.shape[3], layer.kernel,
                layer.kernel - 1 - layer.pad, layer.vectors,
            )  # fmt: skip
            run = kernels.depthwise if ctx.is_depthwise else kernels.conv
            run(back, _address(gradient), _address(turned), None, _address(to_features), threads)
        return None, to_features, to_weight, gradient.sum((0, 2, 3)) if ctx.has_bias else None, None


def _conv2d(
    mode: _BatchLast, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1,
    padding: Any = 0, dilation: Any = 1, groups: int = 1,
) -> Tensor | None:  # fmt: skip
    if isinstance(padding, str) or not (_fits(input) and weight.dtype == torch.float32):
        return None
    channels, (num_out, _, kernel, kernel_width), (pad, pad_width) = input.shape[1], weight.shape, _pair(padding)
    fits = (
        kernel == kernel_width and pad == pad_width < kernel <= min(input.shape[2:]) + 2 * pad
        and (groups == 1 or groups == channels == num_out)
        and _pair(stride) == _pair(dilation) == (1, 1)
    )  # fmt: skip
    return _Conv.apply(mode.kernels, input, weight, bias, pad) if fits else None


class _Norm(torch.autograd.Function):
    """Gives memory that is not filled yet; `_batch_norm` does that."""

    @staticmethod
    def forward(
        ctx: Any, kernels: ctypes.CDLL, features: Tensor, weight: Tensor, bias: Tensor, found: Tensor
    ) -> Tensor:
        ctx.kernels, ctx.with_relu = kernels, False
        ctx.save_for_backward(features, weight, bias, found)
        return _new(features.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (features, weight, bias, found), gradient = ctx.saved_tensors, _batch_last(gradients[0])
        to_features, to_weight, to_bias = _new(features.shape), torch.empty_like(weight), torch.empty_like(bias)
        mean, _, scale = found
        ctx.kernels.norm_back(
            len(weight), features.numel() // len(weight) // LANES, ctx.with_relu, _address(features),
            _address(gradient), _address(weight), _address(bias), _address(mean), _address(scale),
            _address(to_features), _address(to_weight), _address(to_bias), torch.get_num_threads(),
        )  # fmt: skip
        return None, to_features, to_weight, to_bias, None


def _batch_norm(
    mode: _BatchLast, func: Any, input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False, momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:  # fmt: skip
    if not (_fits(input) and _is_batch_last(input) and training) or running_mean is None or running_var is None:
        return None
    weight = input.new_ones(input.shape[1]) if weight is None else weight
    bias = input.new_zeros(input.shape[1]) if bias is None else bias
    found = torch.empty(3, len(weight))  # mean, biased variance and 1/sd of each channel
    out = _Norm.apply(mode.kernels, input, weight, bias, found)
    node = out.grad_fn

    def make(with_relu: bool) -> None:
        node.with_relu = with_relu
        mode.kernels.norm(
            len(weight), input.numel() // len(weight) // LANES, with_relu, eps, _address(input), _address(weight),
            _address(bias), _address(out), *(_address(row) for row in found), torch.get_num_threads(),
        )  # fmt: skip
        count = input.numel() // len(weight)
        with torch.no_grad():
            running_mean.lerp_(found[0], momentum)
            running_var.lerp_(found[1] * (count / (count - 1)), momentum)

    mode.waiting = out, make
    return out


class _ReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: ctypes.CDLL, features: Tensor, in_place: bool) -> Tensor:
        out = features if in_place else _new(features.shape)
        kernels.relu(features.numel() // LANES, _address(features), _address(out))
        if in_place:
            ctx.mark_dirty(features)
        ctx.kernels = kernels
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (out,), gradient = ctx.saved_tensors, _batch_last(gradients[0])
        to_features = _new(out.shape)
        ctx.kernels.relu_back(out.numel() // LANES, _address(out), _address(gradient), _address(to_features))
        return None, to_features, None


def _relu(mode: _BatchLast, func: Any, input: Tensor, inplace: bool = False) -> Tensor | None:
    if not (_fits(input) and _is_batch_last(input)):
        return None
    return _ReLU.apply(mode.kernels, input, _is_in_place(func, inplace))


def _is_in_place(func: Any, inplace: bool = False) -> bool:
    return inplace or func in (torch.relu_, Tensor.relu_)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernels: ctypes.CDLL, features: Tensor) -> Tensor:
        features = _batch_last(features)
        num_images, channels, height, width = features.shape
        out = _new((num_images, channels, height // 2, width // 2))
        ctx.kernels, ctx.size = kernels, (channels, height, width, num_images // LANES)
        kernels.max_pool(*ctx.size, _address(features), _address(out), torch.get_num_threads())
        ctx.save_for_backward(features)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (features,), gradient = ctx.saved_tensors, _batch_last(gradients[0])
        to_features = _new(features.shape)
        if features.shape[2] % 2 or features.shape[3] % 2:
            to_features.zero_()  # no maximum looks at the last row or column
        ctx.kernels.max_pool_back(
            *ctx.size, _address(features), _address(gradient), _address(to_features), torch.get_num_threads()
        )
        return None, to_features


def _max_pool2d(
    mode: _BatchLast, func: Any, input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0,
    dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False,
) -> Tensor | None:  # fmt: skip
    fits = (
        _fits(input) and min(input.shape[2:]) >= 2 and not return_indices and not ceil_mode
        and _pair(kernel_size) == _pair(stride or kernel_size) == (2, 2)
        and _pair(padding) == (0, 0) and _pair(dilation) == (1, 1)
    )  # fmt: skip
    return _MaxPool.apply(mode.kernels, input) if fits else None


def _pair(value: Any) -> tuple[int, int]:
    """Two numbers, of one or two."""
    numbers = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    return (numbers[0], numbers[-1])


# By which names torch's own modules, and people's code, ask for a layer.
_LAYERS: dict[Any, Callable[..., Tensor | None]] = {
    torch.conv2d: _conv2d,
    F.batch_norm: _batch_norm,
    F.relu: _relu, torch.relu: _relu, Tensor.relu: _relu, torch.relu_: _relu, Tensor.relu_: _relu,
    F.max_pool2d: _max_pool2d, torch.max_pool2d: _max_pool2d,
}  # fmt: skip
