"""A net whose every layer is the same for all turns and mirrors of its picture: one weight does the work of eight."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

__all__ = ["DihedralCNN"]

Fields = Annotated[int, Field(ge=1, le=32, json_schema_extra={"search": "int:1..8"})]
AtLeastOne = Annotated[int, Field(ge=1, le=16, json_schema_extra={"search": "int:1..5"})]


class DihedralCNN(nn.Module):
    """3×3 convolutions whose channels are turns and mirrors of each other, eight by eight: 555 parameters.

    >>> import torch
    >>> DihedralCNN(fields=(1, 2, 2), depths=(2, 3, 4))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])

    Takes normalised float images (B, 1, 28, 28), gives logits (B, 10). A field is eight channels: what a kernel finds
    in the picture as it is, turned by 90°, 180° and 270°, and all that mirrored. `fields` are those on 28×28, 14×14 and
    7×7, `depths` the layers there. All but the very first are `separable`, or else whole 3×3 convolutions. A picture
    that is turned gives the same maps, turned, with the channels of each field in another order. On 7×7 the last
    layer and, where `cut` is "both", the first leave out the border. Only the end tells a 6 from a 9: a weighted sum of
    each map, then a linear layer.

    Strokes look alike in all directions, so what is learnt of one holds for all. From f to g fields a separable layer
    has 9f + 8fg + g parameters, a whole one 72fg + g; without the sharing those of its width have 72f + 64fg + 8g and
    576fg + 8g. The idea is Cohen & Welling's (2016, group equivariant networks), whose convolutions are the whole ones.
    BatchNorm has no scale: a ReLU lets that through to the weights after it. Exported files hold the weights written
    out, eight times.
    """

    def __init__(
        self,
        *,
        fields: tuple[Fields, Fields, Fields] = (1, 2, 3),
        depths: tuple[AtLeastOne, AtLeastOne, AtLeastOne] = (2, 2, 2),
        separable: bool = True,
        cut: Literal["both", "last"] = "both",
    ) -> None:
        super().__init__()
        num_in = fields[0]
        first = _shared(nn.Conv2d(1, 8 * num_in, 3, padding=1, bias=False), _Turned())
        layers: list[nn.Module] = list(_norm_and_relu(first))
        cut_layers = {depths[2] - 1} if cut == "last" else {0, depths[2] - 1}
        for stage, (num_out, depth) in enumerate(zip(fields, depths, strict=True)):
            if stage:
                layers.append(nn.MaxPool2d(2))
            for layer in range(1 if stage == 0 else 0, depth):
                padding = 0 if stage == 2 and layer in cut_layers else 1  # 7×7 → 5×5 → 3×3
                if separable:
                    layers.append(_maps(num_in, 3, padding))
                    conv = _shared(nn.Conv2d(8 * num_in, 8 * num_out, 1, bias=False), _Mixed())
                else:
                    conv = nn.Conv2d(8 * num_in, 8 * num_out, 3, padding=padding, bias=False)
                    conv = _shared(conv, _MixedAndTurned())
                layers += _norm_and_relu(conv)
                num_in = num_out
        self.layers = nn.Sequential(*layers)
        side = 7 - 2 * len(cut_layers)
        self.head = nn.Sequential(_maps(num_in, side, padding=0), nn.Flatten(), nn.Linear(8 * num_in, 10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.head(self.layers(images_BCHW))


def _maps(num_fields: int, kernel: int, padding: int) -> nn.Conv2d:
    channels = 8 * num_fields
    return _shared(nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels, bias=False), _Turned())


def _shared(conv: nn.Conv2d, parametrization: nn.Module) -> nn.Conv2d:
    register_parametrization(conv, "weight", parametrization)
    return conv


def _norm_and_relu(conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    norm = nn.BatchNorm2d(conv.out_channels, affine=False)
    norm.bias = nn.Parameter(torch.zeros(conv.out_channels))
    register_parametrization(norm, "bias", _Repeated())
    return conv, norm, nn.ReLU(inplace=True)


class _WrittenOut(nn.Module):
    """Gives every number eight times, each time in another place, as `write_out` says."""

    def write_out(self, values: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, values: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            return self.write_out(values)  # a graph shows what moves the numbers; tables may be learnt
        written_out: Tensor = _WriteOut.apply(type(self), values)
        return written_out

    def right_inverse(self, written_out: Tensor) -> Tensor:
        return _first_of_eight(written_out)


class _WriteOut(torch.autograd.Function):
    """Written out by one step, and by one back: turn by turn takes a tenth of a training."""

    @staticmethod
    def forward(ctx: Any, kind: Callable[[], _WrittenOut], values: Tensor) -> Tensor:
        ctx.kind, ctx.shape = kind, values.shape
        return values.take(_numbers(kind, values.shape).to(values.device))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        places_8N = _places(ctx.kind, ctx.shape).to(gradients[0].device)
        return None, gradients[0].reshape(-1).take(places_8N).sum(0).view(ctx.shape)


@lru_cache
def _numbers(kind: Callable[[], _WrittenOut], shape: tuple[int, ...]) -> Tensor:
    """Which of the numbers of this shape stands in each place."""
    # On the CPU: a model that is built on the meta device, which has no numbers, may be the first to ask.
    return kind().write_out(torch.arange(math.prod(shape), device="cpu").view(shape))


@lru_cache
def _places(kind: Callable[[], _WrittenOut], shape: tuple[int, ...]) -> Tensor:
    """Where each of the N numbers of this shape stands, (8, N)."""
    return _numbers(kind, shape).reshape(-1).argsort(stable=True).view(-1, 8).t().contiguous()


# The eight changes g of a square: number 4m + q turns by q quarters, then mirrors if m is 1.


class _Turned(_WrittenOut):
    """Kernels (F, 1, K, K) to (8F, 1, K, K): each in its eight positions."""

    def write_out(self, kernels_F1KK: Tensor) -> Tensor:
        turned = torch.stack([torch.rot90(kernels_F1KK, quarters, (2, 3)) for quarters in range(4)], 1)
        return torch.cat([turned, turned.flip(4)], 1).flatten(0, 1)


class _Mixed(_WrittenOut):
    """Weights (O, I, 2, 4) to (8O, 8I, 1, 1): from channel h of a field to channel g of another goes that of g⁻¹h."""

    def write_out(self, weights_OI24: Tensor) -> Tensor:
        # For g = (m, q), h = (n, p) that is (0, p - q) where m is n, else (1, p + q): a mirror reverses turns.
        windows_OI254 = weights_OI24.repeat(1, 1, 1, 2).unfold(3, 4, 1)  # number s has p + s in place p
        alike_OI44, mirrored_OI44 = windows_OI254[:, :, 0, 1:].flip(2), windows_OI254[:, :, 1, :4]
        rows_OI424 = torch.stack([alike_OI44, mirrored_OI44], 3)
        rows_O24I24 = torch.stack([rows_OI424, rows_OI424.flip(3)], 1).transpose(2, 3)
        return rows_O24I24.reshape(8 * len(weights_OI24), -1, 1, 1)

    def right_inverse(self, weights_8O8I11: Tensor) -> Tensor:
        return _first_of_eight(weights_8O8I11).unflatten(1, (-1, 2, 4)).flatten(3)


class _MixedAndTurned(_WrittenOut):
    """Kernels (O, I, 2, 4, K, K) to (8O, 8I, K, K): from channel h to channel g goes the kernel of g⁻¹h, moved by g."""

    def write_out(self, kernels_OI24KK: Tensor) -> Tensor:
        num_out, num_in, _, _, size, _ = kernels_OI24KK.shape
        # Positions first, so that turns and mirrors move whole rows of numbers.
        kernels_KKOI24 = kernels_OI24KK.permute(4, 5, 0, 1, 2, 3)
        mixed_KKO24I = _Mixed().write_out(kernels_KKOI24.flatten(0, 2)).view(size, size, num_out, 2, 4, 8 * num_in)
        turned_KKO24I = torch.stack([torch.rot90(mixed_KKO24I[..., quarters, :], quarters) for quarters in range(4)], 4)
        plain_KKO4I, mirrored_KKO4I = turned_KKO24I[:, :, :, 0], turned_KKO24I[:, :, :, 1].flip(1)
        return torch.stack([plain_KKO4I, mirrored_KKO4I], 3).permute(2, 3, 4, 5, 0, 1).flatten(0, 2)

    def right_inverse(self, kernels_8O8IKK: Tensor) -> Tensor:
        return _first_of_eight(kernels_8O8IKK).unflatten(1, (-1, 2, 4))


class _Repeated(_WrittenOut):
    """One bias a field, (F), to one a channel, (8F)."""

    def write_out(self, bias_F: Tensor) -> Tensor:
        return bias_F.repeat_interleave(8)


def _first_of_eight(values: Tensor) -> Tensor:
    # With memory of its own: as a part of the whole, a single number would keep its stride of eight.
    return values[::8].clone(memory_format=torch.contiguous_format)
