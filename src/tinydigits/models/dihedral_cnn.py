"""A net whose every layer is the same for all turns and mirrors of its picture: one weight does the work of many."""

from __future__ import annotations

from typing import Annotated, Literal

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

    With 8 `turns` a field is sixteen channels: those turned by 45°, too, as far as a kernel of 3×3 numbers can be, by
    moving the eight around its middle on by one. A picture turned by 90° gives the same maps still.

    Strokes look alike in all directions, so what is learnt of one holds for all. From f to g fields a separable layer
    has 9f + 8fg + g parameters, a whole one 72fg + g, with 8 turns 9f + 16fg + g and 144fg + g; without the sharing
    those of the first width have 72f + 64fg + 8g and 576fg + 8g. The idea is Cohen & Welling's (2016, group
    equivariant networks), whose convolutions are the whole ones; 45° on the ring of a 3×3 kernel are in Hoogeboom et
    al. (2018, HexaConv) for hexagons and in Weiler & Cesa (2019) for circles.
    BatchNorm has no scale: a ReLU lets that through to the weights after it. Exported files hold the weights written
    out, eight or sixteen times.
    """

    def __init__(
        self,
        *,
        fields: tuple[Fields, Fields, Fields] = (1, 2, 3),
        depths: tuple[AtLeastOne, AtLeastOne, AtLeastOne] = (2, 2, 2),
        separable: bool = True,
        cut: Literal["both", "last"] = "both",
        turns: Literal[4, 8] = 4,
    ) -> None:
        super().__init__()
        num_in, channels = fields[0], 2 * turns
        first = _shared(nn.Conv2d(1, channels * num_in, 3, padding=1, bias=False), _Turned(turns))
        layers: list[nn.Module] = list(_norm_and_relu(first, channels))
        cut_layers = {depths[2] - 1} if cut == "last" else {0, depths[2] - 1}
        for stage, (num_out, depth) in enumerate(zip(fields, depths, strict=True)):
            if stage:
                layers.append(nn.MaxPool2d(2))
            for layer in range(1 if stage == 0 else 0, depth):
                padding = 0 if stage == 2 and layer in cut_layers else 1  # 7×7 → 5×5 → 3×3
                if separable:
                    layers.append(_maps(num_in, turns, 3, padding))
                    conv = nn.Conv2d(channels * num_in, channels * num_out, 1, bias=False)
                    conv = _shared(conv, _Mixed(turns))
                else:
                    conv = nn.Conv2d(channels * num_in, channels * num_out, 3, padding=padding, bias=False)
                    conv = _shared(conv, _MixedAndTurned(turns))
                layers += _norm_and_relu(conv, channels)
                num_in = num_out
        self.layers = nn.Sequential(*layers)
        side = 7 - 2 * len(cut_layers)
        maps = _maps(num_in, turns, side, padding=0)
        self.head = nn.Sequential(maps, nn.Flatten(), nn.Linear(channels * num_in, 10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.head(self.layers(images_BCHW))


def _maps(num_fields: int, turns: int, kernel: int, padding: int) -> nn.Conv2d:
    channels = 2 * turns * num_fields
    conv = nn.Conv2d(channels, channels, kernel, padding=padding, groups=channels, bias=False)
    return _shared(conv, _Turned(turns))


def _shared(conv: nn.Conv2d, parametrization: nn.Module) -> nn.Conv2d:
    register_parametrization(conv, "weight", parametrization)
    return conv


def _norm_and_relu(conv: nn.Conv2d, channels: int) -> tuple[nn.Module, ...]:
    norm = nn.BatchNorm2d(conv.out_channels, affine=False)
    norm.bias = nn.Parameter(torch.zeros(conv.out_channels))
    register_parametrization(norm, "bias", _Repeated(channels))
    return conv, norm, nn.ReLU(inplace=True)


# The changes g of a square: of T turns, number T·m + q turns by q of them, then mirrors if m is 1. G is 2T of them.


class _Turned(nn.Module):
    """Kernels (F, 1, K, K) to (GF, 1, K, K): each in its positions."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns

    def forward(self, kernels_F1KK: Tensor) -> Tensor:
        kernels_KKF1 = kernels_F1KK.permute(2, 3, 0, 1)
        turned = [_turn(kernels_KKF1, turn, self.turns).permute(2, 3, 0, 1) for turn in range(self.turns)]
        turned_FT1KK = torch.stack(turned, 1)
        return torch.cat([turned_FT1KK, turned_FT1KK.flip(4)], 1).flatten(0, 1)

    def right_inverse(self, kernels_GF1KK: Tensor) -> Tensor:
        return _every(2 * self.turns, kernels_GF1KK)


class _Mixed(nn.Module):
    """Weights (O, I, 2, T) to (GO, GI, 1, 1): from channel h of a field to channel g of another goes that of g⁻¹h."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns

    def forward(self, weights_OI2T: Tensor) -> Tensor:
        # For g = (m, q), h = (n, p) that is (0, p - q) where m is n, else (1, p + q): a mirror reverses turns.
        turns = self.turns
        windows_OI2ST = weights_OI2T.repeat(1, 1, 1, 2).unfold(3, turns, 1)  # number s has p + s in place p
        alike_OITT, mirrored_OITT = windows_OI2ST[:, :, 0, 1:].flip(2), windows_OI2ST[:, :, 1, :turns]
        rows_OIT2T = torch.stack([alike_OITT, mirrored_OITT], 3)
        rows_O2TI2T = torch.stack([rows_OIT2T, rows_OIT2T.flip(3)], 1).transpose(2, 3)
        return rows_O2TI2T.reshape(2 * turns * len(weights_OI2T), -1, 1, 1)

    def right_inverse(self, weights_GOGI11: Tensor) -> Tensor:
        return _every(2 * self.turns, weights_GOGI11).unflatten(1, (-1, 2, self.turns)).flatten(3)


class _MixedAndTurned(nn.Module):
    """Kernels (O, I, 2, T, K, K) to (GO, GI, K, K): from channel h to channel g goes the kernel of g⁻¹h, moved by g."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns, self.mixed = turns, _Mixed(turns)

    def forward(self, kernels_OI2TKK: Tensor) -> Tensor:
        num_out, num_in, _, turns, size, _ = kernels_OI2TKK.shape
        # Positions first, so that turns and mirrors move whole rows of numbers.
        kernels_KKOI2T = kernels_OI2TKK.permute(4, 5, 0, 1, 2, 3)
        mixed_KKO2TI = self.mixed(kernels_KKOI2T.flatten(0, 2)).view(size, size, num_out, 2, turns, 2 * turns * num_in)
        turned_KKO2TI = torch.stack([_turn(mixed_KKO2TI[..., turn, :], turn, turns) for turn in range(turns)], 4)
        plain_KKOTI, mirrored_KKOTI = turned_KKO2TI[:, :, :, 0], turned_KKO2TI[:, :, :, 1].flip(1)
        return torch.stack([plain_KKOTI, mirrored_KKOTI], 3).permute(2, 3, 4, 5, 0, 1).flatten(0, 2)

    def right_inverse(self, kernels_GOGIKK: Tensor) -> Tensor:
        return _every(2 * self.turns, kernels_GOGIKK).unflatten(1, (-1, 2, self.turns))


class _Repeated(nn.Module):
    """One bias a field, (F), to one a channel, (GF)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, bias_F: Tensor) -> Tensor:
        return bias_F.repeat_interleave(self.channels)

    def right_inverse(self, bias_GF: Tensor) -> Tensor:
        return _every(self.channels, bias_GF)


def _turn(kernels_KKx: Tensor, turn: int, turns: int) -> Tensor:
    """Kernels of odd size, their positions in the first two dimensions, by so many of so many turns."""
    quarters, eighths = divmod(8 // turns * turn, 2)
    if eighths:
        size = len(kernels_KKx)
        moved = [kernels_KKx[place] for place in _an_eighth_on(size)]
        kernels_KKx = torch.stack(moved).unflatten(0, (size, size))
    return torch.rot90(kernels_KKx, quarters)


def _an_eighth_on(size: int) -> list[tuple[int, int]]:
    """From where each position of a square, row by row, gets its number when it is turned by 45°, ring by ring.

    >>> _an_eighth_on(3)
    [(0, 1), (0, 2), (1, 2), (0, 0), (1, 1), (2, 2), (1, 0), (2, 0), (2, 1)]
    """
    middle = size // 2
    source = {(middle, middle): (middle, middle)}
    for away in range(1, middle + 1):
        low, high = middle - away, middle + away
        sides = [[(low, low + i), (low + i, high), (high, high - i), (high - i, low)] for i in range(2 * away)]
        ring = [side[number] for number in range(4) for side in sides]
        source |= {place: ring[(i + away) % len(ring)] for i, place in enumerate(ring)}
    return [source[row, column] for row in range(size) for column in range(size)]


def _every(step: int, values: Tensor) -> Tensor:
    # With memory of its own: as a part of the whole, a single number would keep its stride.
    return values[::step].clone(memory_format=torch.contiguous_format)
