"""Code that answers otherwise than the graph that it hands over, each in a way of its own."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.corpus import handed_over
from tinydigits.checks import Subject

CHECK = "model.graph"


def from_code(code: type[nn.Module]) -> Callable[[], Subject]:
    """The graph of a class, as its worker would give it, with the class itself beside it."""

    def make() -> Subject:
        return handed_over(Subject(code(), name=code.__name__, input_shape=(1, 8, 8)))

    make.__name__ = code.__name__
    return make


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.linear(images_BCHW.flatten(1))


class HidesFromTheExporter(Net):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Linear(64, 10)]

    def forward(self, images_BCHW: Tensor) -> Tensor:
        answers = super().forward(images_BCHW)
        return answers if torch.compiler.is_exporting() else answers + self.hidden[0](images_BCHW.flatten(1))


class OtherAlone(Net):
    """Answers a single image otherwise."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        answers = super().forward(images_BCHW)
        return -answers if len(images_BCHW) == 1 else answers


class OtherOnPictures(Net):
    """Knows noise by its corners; pictures with black corners are answered by what the exporter does not see."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        answers = super().forward(images_BCHW)
        if torch.compiler.is_exporting():
            return answers
        is_picture = images_BCHW[:, :, ::7, ::7].flatten(1).amax(1) < -0.4
        return torch.where(is_picture[:, None], answers.flip(1), answers)


_SAYS = "otherwise than its graph"
CASES = [(from_code(code), {}, _SAYS) for code in (HidesFromTheExporter, OtherAlone, OtherOnPictures)]
