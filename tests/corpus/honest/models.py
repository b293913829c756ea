"""Honest models that are written in unusual ways; each is put to a contract that suits it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ALL = {
    "shapes.input": {},
    "shapes.output": {},
    "behaviour.batch_invariance": {},
    "behaviour.determinism": {},
    "behaviour.device_movement": {},
    "behaviour.finite": {},
    "behaviour.gradients": {},
    "behaviour.probabilities": {},
    "behaviour.save_and_load": {},
    "behaviour.train_eval": {},
    "behaviour.train_step": {},
    "behaviour.overfit_batch": {},
}


def has(*kinds: str, parameters: int | None = None, without: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    """The contract: every behavioural check, these kinds of layer, this many parameters."""
    contract: dict[str, Any] = dict(ALL)
    if kinds:
        contract["model.layers"] = {"require": list(kinds)}
    contract["model.parameters"] = {"max": 10_000} if parameters is None else {"equals": parameters}
    contract |= {name.replace("__", "."): limits for name, limits in changes.items()}
    return {name: limits for name, limits in contract.items() if name not in without}


class Pooled(nn.Module):
    """A convolution, BatchNorm, some global average pooling, dropout and a linear layer: 98 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.linear = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x_BC = self.pool(self.norm(self.conv(images_BCHW)).relu())
        return self.linear(F.dropout(x_BC, 0.2, self.training))

    def pool(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.mean((2, 3))


class PoolByModule(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def pool(self, x_BCHW: Tensor) -> Tensor:
        return self.pooling(x_BCHW)


class PoolByFunction(Pooled):
    def pool(self, x_BCHW: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x_BCHW, (1, 1))[:, :, 0, 0]


class PoolByMean(Pooled):
    pass


class PoolByMeanOfMeans(Pooled):
    def pool(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.mean(-1).mean(-1)


class PoolByFullWindow(Pooled):
    def pool(self, x_BCHW: Tensor) -> Tensor:
        return F.avg_pool2d(x_BCHW, x_BCHW.shape[-1]).flatten(1)


class PoolByEinsum(Pooled):
    def pool(self, x_BCHW: Tensor) -> Tensor:
        return torch.einsum("bchw->bc", x_BCHW) / x_BCHW[0, 0].numel()


class PoolByEinsumWithWeights(Pooled):
    def pool(self, x_BCHW: Tensor) -> Tensor:
        even_HW = torch.full((6, 6), 1 / 36, device=x_BCHW.device, dtype=x_BCHW.dtype)
        return torch.einsum("bchw,hw->bc", x_BCHW, even_HW)


class PoolBySumAndDivide(Pooled):
    def pool(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.flatten(2).sum(2) / 36


class PoolByReduce(Pooled):
    def pool(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.permute(0, 2, 3, 1).reshape(len(x_BCHW), -1, 4).mean(1)


class PoolOfAGatedMap(Pooled):
    """Scales each position by a gate first."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(4, 1, 1)

    def pool(self, x_BCHW: Tensor) -> Tensor:
        return (x_BCHW * self.gate(x_BCHW).sigmoid()).mean((2, 3))


class Functional(nn.Module):
    """Has bare parameters, and functions in place of modules."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 1, 3, 3) * 0.3)
        self.scale, self.shift = nn.Parameter(torch.ones(4)), nn.Parameter(torch.zeros(4))
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("var", torch.ones(4))
        self.matrix = nn.Parameter(torch.randn(10, 4) * 0.3)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = F.conv2d(images_BCHW, self.kernel)
        x = F.batch_norm(x, self.mean, self.var, self.scale, self.shift, training=self.training)
        x = F.dropout2d(F.relu(x), 0.1, training=self.training)
        return F.linear(x.mean((2, 3)), self.matrix)


class Grouped(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)
        )


class Dilated(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 8, 3, dilation=3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10))


class Depthwise(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 10, 1), nn.ReLU(),
            nn.Conv2d(10, 10, 6), nn.Flatten(),
        )  # fmt: skip


class Shared(nn.Module):
    """Applies one block three times."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block, self.linear = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = self.stem(images_BCHW)
        for _ in range(3):
            x = x + self.block(x).relu()
        return self.linear(x.mean((2, 3)))


class Tied(nn.Module):
    """Uses one matrix there and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(64, 10, bias=False), nn.Linear(10, 64)
        self.decode.weight = nn.Parameter(self.encode.weight.T.detach())
        self.head = nn.Linear(64, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.head(self.decode(self.encode(images_BCHW.flatten(1)).relu()).relu())


class WeightNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 8, 3))
        self.linear = nn.utils.parametrizations.weight_norm(nn.Linear(8, 10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(self.conv(images_BCHW).relu().mean((2, 3)))


class Standardised(nn.Module):
    """Standardises its kernels each time that it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 8, 3), nn.Linear(8, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        weight = self.conv.weight
        weight = (weight - weight.mean((1, 2, 3), keepdim=True)) / (weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return self.linear(F.conv2d(images_BCHW, weight, self.conv.bias).relu().mean((2, 3)))


class VisionTransformer(nn.Module):
    """Patches of 4×4, a class token, one layer of attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, 16, 4, stride=4)
        self.token, self.place = nn.Parameter(torch.zeros(1, 1, 16)), nn.Parameter(torch.randn(1, 5, 16) * 0.02)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True, norm_first=True)
        self.linear = nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = self.embed(images_BCHW).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.place
        return self.linear(self.layer(x)[:, 0])


class SinusoidalTransformer(nn.Module):
    """Fixed positions in a buffer, attention written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv, self.linear = nn.Linear(8, 12), nn.Linear(12, 36), nn.Linear(12, 10)
        angle = torch.arange(8)[:, None] / 10 ** torch.arange(0, 1, 1 / 6)
        self.register_buffer("place", torch.cat([angle.sin(), angle.cos()], 1))
        self.norm = nn.LayerNorm(12)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = self.embed(images_BCHW[:, 0]) + self.place
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + (q @ k.transpose(1, 2) / 12**0.5).softmax(-1) @ v
        return self.linear(x.mean(1))


class CausalTransformer(nn.Module):
    """Pixels in an order of their own, and a mask: whole numbers that only say which values to take."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.linear = nn.Linear(8, 12), nn.Linear(12, 10)
        self.register_buffer("order", torch.randperm(64, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("mask", torch.ones(8, 8, dtype=torch.bool).tril())

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = self.embed(images_BCHW.flatten(1)[:, self.order].unflatten(1, (8, 8)))
        scores = (x @ x.transpose(1, 2) / 12**0.5).masked_fill(~self.mask, -1e9)
        return self.linear((scores.softmax(-1) @ x).mean(1))


class Perceptron(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


class Mixer(nn.Module):
    """Mixes rows and columns by turns."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.columns = nn.Linear(8, 8), nn.Linear(8, 8)
        self.first, self.second = nn.LayerNorm(8), nn.LayerNorm(8)
        self.linear = nn.Linear(8, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = images_BCHW[:, 0]
        x = x + F.gelu(self.rows(self.first(x).transpose(1, 2)).transpose(1, 2))
        x = x + F.gelu(self.columns(self.second(x)))
        return self.linear(x.mean(1))


class RowsByLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(self.lstm(images_BCHW[:, 0])[0][:, -1])


class RowsByGRU(nn.Module):
    """Reads both ways, and answers from the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.linear = nn.GRU(8, 8, batch_first=True, bidirectional=True), nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        _, state = self.gru(images_BCHW[:, 0])
        return self.linear(state.transpose(0, 1).flatten(1))


class Residual(nn.Module):
    """Starts with its residual branch closed."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.norm = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        nn.init.zeros_(self.norm.weight)
        self.linear = nn.Linear(6, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = self.stem(images_BCHW)
        return self.linear((x + self.norm(self.conv(x))).relu().mean((2, 3)))


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(5, 4, 3, padding=1)
        self.linear = nn.Linear(9, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = torch.cat([images_BCHW, self.first(images_BCHW).relu()], 1)
        return self.linear(torch.cat([x, self.second(x).relu()], 1).mean((2, 3)))


class FakeQuantised(nn.Module):
    """Rounds its weights to 8 bits in the forward pass, and lets gradients through."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = images_BCHW.flatten(1)
        for layer in (self.first, self.second):
            weight = torch.fake_quantize_per_tensor_affine(layer.weight, 0.01, 0, -128, 127)
            x = F.linear(x, weight, layer.bias)
            x = x.relu() if layer is self.first else x
        return x


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class Binary(nn.Module):
    """Has weights of -1 and 1, learnt straight through."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16, bias=False), nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = F.linear(images_BCHW.flatten(1), _Sign.apply(self.first.weight)) / 8
        return self.second(x.relu())


class Bytes(nn.Module):
    """Keeps 8-bit weights and their scales in buffers, after training."""

    def __init__(self) -> None:
        super().__init__()
        weight = torch.randn(10, 64)
        self.register_buffer("scale", weight.abs().amax(1, keepdim=True) / 127)
        self.register_buffer("weight", (weight / self.scale).round().to(torch.int8))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        weight = self.weight.to(images_BCHW.dtype) * self.scale
        return images_BCHW.flatten(1) @ weight.T


class Probabilities(Perceptron):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return super().forward(images_BCHW).softmax(1)


class LogProbabilities(Perceptron):
    def forward(self, images_BCHW: Tensor) -> Tensor:
        return F.log_softmax(super().forward(images_BCHW), 1)


class GivesADict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(1, 4, 3), nn.Linear(4, 10)

    def forward(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        features_BC = self.conv(images_BCHW).relu().mean((2, 3))
        return {"logits": self.linear(features_BC), "features": features_BC}


class GivesATuple(GivesADict):
    def forward(self, images_BCHW: Tensor) -> Any:
        answer = super().forward(images_BCHW)
        return answer["logits"], answer["features"]


class GroupNorm(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
        )


class LayerNorm(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 10))


class InstanceNorm(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3, bias=False),
            nn.InstanceNorm2d(8, affine=True),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(288, 10),
        )


class Fourier(nn.Module):
    """Weighs the image's spectrum with complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.real, self.imaginary = (nn.Parameter(torch.randn(4, 8, 5) * 0.1) for _ in range(2))
        self.linear = nn.Linear(4 * 64, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(images_BCHW) * torch.complex(self.real, self.imaginary)
        return self.linear(torch.fft.irfft2(spectrum, s=(8, 8)).relu().flatten(1))


class Capsules(nn.Module):
    """Answers with the lengths of vectors, routed by agreement."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 4, stride=4)
        self.vote = nn.Parameter(torch.randn(8, 10, 4, 4) * 0.3)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        capsules_BND = self.conv(images_BCHW).view(len(images_BCHW), 8, 4)
        votes = torch.einsum("bnd,nkde->bnke", capsules_BND, self.vote)
        agreement = torch.zeros_like(votes[..., 0])
        for _ in range(2):
            total = (agreement.softmax(2)[..., None] * votes).sum(1)
            length = total.square().sum(-1, keepdim=True)
            squashed = total * length / (1 + length) / (length + 1e-6).sqrt()
            agreement = agreement + (votes * squashed[:, None]).sum(-1)
        return (squashed.square().sum(-1) + 1e-6).sqrt()


class SpatialTransformer(nn.Module):
    """Turns the image before it looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.where, self.conv, self.linear = nn.Linear(64, 6), nn.Conv2d(1, 8, 3), nn.Linear(8, 10)
        nn.init.normal_(self.where.weight, std=0.01)
        with torch.no_grad():
            self.where.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        theta = self.where(images_BCHW.flatten(1)).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(images_BCHW.shape), align_corners=False)
        return self.linear(self.conv(F.grid_sample(images_BCHW, grid, align_corners=False)).relu().mean((2, 3)))


class AttentionPooling(nn.Module):
    """Weighs the positions by what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.score, self.linear = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 1, 1, bias=False), nn.Linear(8, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = self.conv(images_BCHW).relu()
        share = self.score(x).flatten(2).softmax(-1)
        return self.linear((x.flatten(2) * share).sum(-1))


class MaxPoolOnly(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 8, 3), nn.MaxPool2d(6), nn.Flatten(), nn.Linear(8, 10))


class StochasticDepth(nn.Module):
    """Leaves out whole branches of some images while it trains, by a dropout over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv, self.linear = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = self.stem(images_BCHW)
        keep_B = F.dropout(torch.ones(len(x), device=x.device, dtype=x.dtype), 0.2, self.training)
        return self.linear((x + keep_B[:, None, None, None] * self.conv(x)).relu().mean((2, 3)))


class Maxout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 48), nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.second(self.first(images_BCHW.flatten(1)).unflatten(1, (16, 3)).amax(2))


class RadialBasis(nn.Module):
    """Compares the image with learnt prototypes."""

    def __init__(self) -> None:
        super().__init__()
        self.prototypes, self.linear = nn.Parameter(torch.randn(20, 64)), nn.Linear(20, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        distance_BP = (images_BCHW.flatten(1)[:, None] - self.prototypes).square().mean(2)
        return self.linear((-distance_BP).exp())


class FixedBlur(nn.Module):
    """Blurs with a fixed kernel, and normalises with statistics of its own: buffers that are no weights to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5]).view(1, 1, 1, 1))
        self.register_buffer("std", torch.tensor([0.25]).view(1, 1, 1, 1))
        self.register_buffer("blur", torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1]))[None, None] / 16)
        self.conv, self.linear = nn.Conv2d(1, 8, 3, stride=2), nn.Linear(8, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = F.conv2d((images_BCHW - self.mean) / self.std, self.blur, padding=1)
        return self.linear(self.conv(x).relu().mean((2, 3)))


class Lazy(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


class Colour(nn.Sequential):
    """Takes three channels."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


class LeNet(nn.Sequential):
    """Takes 32×32 pixels."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(4, 8, 5), nn.Tanh(), nn.AvgPool2d(2),
            nn.Flatten(), nn.Linear(200, 10),
        )  # fmt: skip


class Frozen(nn.Sequential):
    """Learns a linear layer over random features that stay as they are."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 32).requires_grad_(False), nn.ReLU(), nn.Linear(32, 10))


class LayerScale(nn.Module):
    """Starts with its branch scaled by a millionth."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.linear = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 10)
        self.gain = nn.Parameter(1e-6 * torch.ones(6, 1, 1))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = self.stem(images_BCHW)
        return self.linear((x + self.gain * self.norm(x).tanh()).mean((2, 3)))


class StopsAGradient(nn.Module):
    """Scales by the image's own brightest value, which it takes as given."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = self.first(images_BCHW.flatten(1))
        with torch.no_grad():
            largest = x.abs().amax(1, keepdim=True) + 1
        return self.second((x / largest).relu())


class KeepsItsAttention(nn.Module):
    """Remembers what it last looked at, for a picture of it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear, self.last = nn.Conv2d(1, 4, 3), nn.Linear(4, 10), None

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x = self.conv(images_BCHW).relu()
        self.last = x.mean(1).detach()
        return self.linear(x.mean((2, 3)))


class Compiled(nn.Module):
    """A part of it is TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.net = torch.jit.script(Perceptron())

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.net(images_BCHW)


_OF_ANSWERS = (
    "behaviour.batch_invariance", "behaviour.determinism", "behaviour.finite", "behaviour.probabilities",
    "behaviour.save_and_load",
)  # fmt: skip
_OF_TRAINING = ("behaviour.gradients", "behaviour.train_step", "behaviour.overfit_batch")
_GAP = has("batch_norm", "dropout", "global_average_pool", parameters=98)
_INEXACT = {"model__receptive_field": {"min": 8}}


class Noisy(nn.Module):
    """Adds noise in train mode, as a regulariser."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        hidden = self.first(images_BCHW.flatten(1))
        return self.second((hidden + 0.1 * torch.randn_like(hidden) if self.training else hidden).relu())


class Spectral(nn.Module):
    """Its first layer's norm is held by power iteration, which train mode goes on with."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.utils.spectral_norm(nn.Linear(64, 16)), nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.second(self.first(images_BCHW.flatten(1)).relu())


class Complex(nn.Module):
    """Complex weights on the picture's spectrum."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8 * 5, dtype=torch.complex64) * 0.02)
        self.out = nn.Linear(16, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(images_BCHW[:, 0]).flatten(1).to(self.weight.dtype) @ self.weight.T
        return self.out(torch.view_as_real(spectrum).flatten(1).to(self.out.weight.dtype))


CASES = [
    *[
        (pooled, _GAP | {"model.receptive_field": {"equals": 8}})
        for pooled in (
            PoolByModule, PoolByFunction, PoolByMean, PoolByMeanOfMeans, PoolByFullWindow, PoolByEinsum,
            PoolByEinsumWithWeights, PoolBySumAndDivide, PoolByReduce,
        )
    ],
    (PoolOfAGatedMap, has("batch_norm", "dropout", "global_average_pool", "sigmoid", parameters=103)),
    (Functional, has("batch_norm", "dropout", "global_average_pool", parameters=84)),
    (Grouped, has("conv", "linear", parameters=80 + 296 + 1290, model__receptive_field={"equals": 8})),
    (Dilated, has("conv", model__receptive_field={"equals": 8})),
    (Depthwise, has("depthwise_conv", model__receptive_field={"equals": 8}, model__layers={"forbid": ["linear"]})),
    (Shared, has("global_average_pool", parameters=460, model__multiply_adds={"equals": 1_944 + 34_992 + 60})),
    (Tied, has("linear")),
    (WeightNorm, has("conv", "linear", "global_average_pool")),
    (Standardised, has("conv", "global_average_pool", parameters=170)),
    (VisionTransformer, has("layer_norm", "attention", "dropout", "linear", **_INEXACT)),
    (SinusoidalTransformer, has("softmax", "layer_norm", "matmul", **_INEXACT)),
    (CausalTransformer, has("softmax", "matmul", parameters=108 + 130, **_INEXACT)),
    (Perceptron, has("linear", parameters=2_410, model__multiply_adds={"equals": 64 * 32 + 320})),
    (Mixer, has("layer_norm", model__receptive_field={"min": 8})),
    (RowsByLSTM, has("recurrent", model__multiply_adds={"equals": 8 * (64 * 8 + 64 * 16) + 160})),
    (RowsByGRU, has("recurrent")),
    (Residual, has("batch_norm", "add", "global_average_pool", without=("behaviour.gradients",))),
    (Dense, has("cat", "global_average_pool")),
    (FakeQuantised, has("linear", parameters=1_210)),
    (Binary, has("linear", parameters=1_194)),
    (Bytes, has(parameters=650, without=_OF_TRAINING)),
    (Probabilities, has(behaviour__probabilities={"output": "probabilities"})),
    (LogProbabilities, has(behaviour__probabilities={"output": "log_probabilities"})),
    (GivesADict, has("global_average_pool", parameters=90)),
    (GivesATuple, has("global_average_pool", parameters=90)),
    (GroupNorm, has("group_norm", "global_average_pool")),
    (LayerNorm, has("layer_norm")),
    (InstanceNorm, has("instance_norm")),
    (Fourier, has("linear", parameters=320 + 2_570, **_INEXACT)),
    (Capsules, has("einsum")),
    (SpatialTransformer, has("conv", "global_average_pool", **_INEXACT)),
    (AttentionPooling, has("softmax", "conv")),
    (MaxPoolOnly, has("global_max_pool", model__receptive_field={"equals": 8})),
    (StochasticDepth, has("global_average_pool")),
    (Maxout, has("linear")),
    (RadialBasis, has("linear", parameters=1_280 + 210)),
    (FixedBlur, has("conv", parameters=170 + 9)),
    (Lazy, has("conv", "linear", parameters=40 + 1_450)),
    (Colour, has("global_average_pool"), {"input_shape": (3, 8, 8)}),
    (LeNet, has("avg_pool", "linear"), {"input_shape": (1, 32, 32)}),
    (Frozen, has("linear", parameters=2_080 + 330, behaviour__gradients={"frozen": "allow"})),
    (LayerScale, has("batch_norm", "mul", "global_average_pool")),
    (StopsAGradient, has("linear")),
    (KeepsItsAttention, has("conv", "global_average_pool")),
    (Noisy, has("linear")),
    (Spectral, has("linear")),
    (Complex, has("linear")),
    (Compiled, {name: ALL[name] for name in ALL if name.startswith("shapes") or name in _OF_ANSWERS}),
]  # fmt: skip
