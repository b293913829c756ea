"""Weights that are not where parameters are counted, put to `model.parameters`."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_RANDOM = np.random.default_rng(0)
GLOBAL = torch.from_numpy(_RANDOM.normal(size=(64, 10)).astype(np.float32))
NUMBERS = GLOBAL.tolist()
TEXT = base64.b64encode(GLOBAL.numpy().tobytes()).decode()
FILE = Path(tempfile.mkdtemp()) / "weights.npy"
np.save(FILE, GLOBAL.numpy())


class Base(nn.Module):
    """Multiplies the image by weights that `weights` finds, and has ten honest parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))
        self.keep()

    def keep(self) -> None: ...

    def weights(self) -> Tensor:
        raise NotImplementedError

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW.flatten(1) @ self.weights() + self.bias


class PlainTensor(Base):
    def keep(self) -> None:
        self.plain = GLOBAL.clone()

    def weights(self) -> Tensor:
        return self.plain


class ListOfLayers(Base):
    """Keeps a layer in a Python list, which registers nothing."""

    def keep(self) -> None:
        self.layers = [nn.Linear(64, 10)]

    def weights(self) -> Tensor:
        return self.layers[0].weight.T


class NumpyArray(Base):
    def keep(self) -> None:
        self.array = GLOBAL.numpy().copy()

    def weights(self) -> Tensor:
        return torch.from_numpy(self.array)


class PythonNumbers(Base):
    def weights(self) -> Tensor:
        return torch.tensor(NUMBERS)


class GlobalVariable(Base):
    def weights(self) -> Tensor:
        return GLOBAL


class Closure(Base):
    def keep(self) -> None:
        hidden = GLOBAL.clone()
        self.give = lambda: hidden

    def weights(self) -> Tensor:
        return self.give()


class TextInTheCode(Base):
    def weights(self) -> Tensor:
        return torch.from_numpy(np.frombuffer(base64.b64decode(TEXT), dtype=np.float32).copy()).view(64, 10)


class FileReadEachTime(Base):
    def weights(self) -> Tensor:
        return torch.from_numpy(np.load(FILE))


class Bytes(Base):
    """Keeps whole numbers, of which floating-point weights are made when it answers."""

    def keep(self) -> None:
        self.bytes = (GLOBAL * 40).to(torch.int8)

    def weights(self) -> Tensor:
        return self.bytes.float() / 40


class Buffer(Base):
    def keep(self) -> None:
        self.register_buffer("scale", GLOBAL.clone())

    def weights(self) -> Tensor:
        return self.scale


class Table(Base):
    """Has two numbers as parameters, and a table that says at which place which of them stands."""

    def keep(self) -> None:
        self.pair = nn.Parameter(torch.tensor([-1.0, 1.0]))
        self.register_buffer("table", (GLOBAL > 0).long())

    def weights(self) -> Tensor:
        return self.pair[self.table]


class TableOfTheImage(Table):
    """The same, with two numbers that it makes of the image, whatever that shows."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        one = images_BCHW.sum() * 0 + 1
        return images_BCHW.flatten(1) @ torch.stack([-one, one])[self.table] + self.bias


class Mask(Table):
    """The same, with a choice between the two."""

    def weights(self) -> Tensor:
        return torch.where(self.table == 1, self.pair[1], self.pair[0])


class RunningStatistics(Base):
    """Keeps its weights in the running means of a BatchNorm that never normalises."""

    def keep(self) -> None:
        self.norm = nn.BatchNorm1d(640)
        self.norm.running_mean.copy_(GLOBAL.flatten())

    def weights(self) -> Tensor:
        return self.norm.running_mean.view(64, 10)


class Literals(nn.Module):
    """Has every weight written out as a number."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        x_BI = images_BCHW.flatten(1)
        return torch.stack([sum(x_BI[:, i] * NUMBERS[i][k] for i in range(0, 64, 8)) for k in range(10)], 1)


class OnlyInEval(Base):
    """Trains without the hidden weights and answers with them."""

    def weights(self) -> Tensor:
        return torch.ones(64, 10) if self.training else GLOBAL


class LyingParameters(nn.Module):
    """Lists no parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        return iter(())

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(images_BCHW.flatten(1))


class LyingNames(LyingParameters):
    """Lists its parameters, and gives no names for them."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        return nn.Module.parameters(self, recurse)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        return iter(())


class Frozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Linear(64, 64).requires_grad_(False)
        self.linear = nn.Linear(64, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(self.features(images_BCHW.flatten(1)).relu())


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.LazyLinear(10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(images_BCHW.flatten(1))


class ActsWhenTraced(nn.Module):
    """Is a small model while it is traced, and a large one when it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return images_BCHW.flatten(1)[:, :10] + self.bias
        return images_BCHW.flatten(1) @ GLOBAL + self.bias


class KnowsFakeTensors(nn.Module):
    """The same, by looking at the kind of tensor that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        if type(images_BCHW) is not Tensor:
            return images_BCHW.flatten(1)[:, :10] + self.bias
        return images_BCHW.flatten(1) @ GLOBAL + self.bias


class CallsSomethingElse(nn.Module):
    """Has a small forward, and a `__call__` that does not call it."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW.flatten(1)[:, :10] + self.bias

    def __call__(self, images_BCHW: Tensor) -> Tensor:
        return images_BCHW.flatten(1) @ GLOBAL


CHECK = "model.parameters"
CASES = [
    *[
        (hidden, {"max": 300}, "640 outside parameters()")
        for hidden in (
            PlainTensor, ListOfLayers, NumpyArray, PythonNumbers, GlobalVariable, Closure, TextInTheCode,
            FileReadEachTime, Bytes, OnlyInEval,
        )
    ],
    *[(hidden, {"max": 300}, "640 in buffers") for hidden in (Buffer, Table, TableOfTheImage, Mask)],
    (RunningStatistics, {"max": 300}, "in buffers"),
    (Literals, {"max": 60}, "80 outside parameters()"),
    (LyingParameters, {"max": 300}, "650"),
    (LyingNames, {"max": 300}, "650"),
    (Frozen, {"max": 650}, "4,160 of them frozen"),
    (Lazy, {"max": 300}, "650"),
    (ActsWhenTraced, {"max": 300}, "gives other answers than the model itself"),
    (KnowsFakeTensors, {"max": 300}, "gives other answers than the model itself"),
    (CallsSomethingElse, {"max": 300}, "640 outside parameters()"),
]  # fmt: skip
