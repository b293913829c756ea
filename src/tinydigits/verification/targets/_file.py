"""What targets that are whole files (graph and weights together) share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinydigits import models
from tinydigits.checks import Subject
from tinydigits.errors import TinydigitsError, first_line
from tinydigits.trace import in_batches
from tinydigits.verdict import JudgedTarget
from tinydigits.verification.request import InputFacts, Request
from tinydigits.verification.targets import weights
from tinydigits.verification.targets._target import Target, of_card, training_set

__all__ = ["NO_TRAIN_MODE", "FileModule", "Opened", "load_foreign", "must_answer", "shape_of"]

NO_TRAIN_MODE = "holds the graph of eval mode alone: there are no train mode and no gradients to ask"


@dataclass(frozen=True)
class Opened:
    """A file that the runtime of its format has opened.

    `ask` takes a batch of `dtype` on the CPU and gives the answers. `batch_size` is None where it takes any number of
    images, `input_shape` where it does not say the shape of one. `metadata` may hold a card.
    """

    ask: Callable[[Tensor], Tensor]
    dtype: torch.dtype
    batch_size: int | None
    input_shape: tuple[int, ...] | None
    metadata: Mapping[str, str] = field(default_factory=dict)


class FileModule(nn.Module):
    """A file as a module that the runtime of its format answers for; its one buffer is the file's hash: no weights.

    `reader` opens the content, and opens it again in another process; copies here share what it opened.
    """

    def __init__(self, content: bytes, reader: Callable[[bytes], Opened]) -> None:
        super().__init__()
        self.content, self.reader, self.opened = content, reader, reader(content)
        self.dtype, self.batch_size = self.opened.dtype, self.opened.batch_size
        self.input_shape = self.opened.input_shape
        digest = bytearray(hashlib.sha256(content).digest())
        self.register_buffer("sha256", torch.frombuffer(digest, dtype=torch.uint8).clone())

    def forward(self, images: Tensor) -> Tensor:
        return in_batches(self._ask, images, self.batch_size)

    def _ask(self, images: Tensor) -> Tensor:
        images = images.round().clamp(0, 255) if self.dtype == torch.uint8 else images
        return self.opened.ask(images.detach().to(self.dtype).contiguous())

    def __reduce__(self) -> tuple[Any, ...]:
        return FileModule, (self.content, self.reader)

    def __deepcopy__(self, memo: dict[int, Any]) -> FileModule:
        copied = FileModule.__new__(FileModule)
        nn.Module.__init__(copied)
        copied.__dict__.update({key: value for key, value in vars(self).items() if not key.startswith("_")})
        copied.register_buffer("sha256", self.get_buffer("sha256").clone())
        return copied.train(self.training)


def load_foreign(
    request: Request,
    what: str,
    runtime: str,
    reader: Callable[[bytes], Opened],
    *,
    structure: Callable[[FileModule, Path], nn.Module] | None = None,
) -> Target:
    """Open a file that a runtime other than torch answers for: `what` is its kind in words, as in "an .onnx".

    `structure` gives the graph in torch's operations; without it, what is read from the graph is not run. Raises
    TinydigitsError, which names the file, where it is missing, damaged, or nothing here can open it.
    """
    path, kind = Path(request.name), what.rpartition(".")[2]
    if not path.is_file():
        raise TinydigitsError(str(path), "no such file")
    if request.device not in ("cpu", "auto"):
        raise TinydigitsError(f"target {path}", f"{what} is asked on the CPU", got=request.device, expected="cpu")
    try:
        model = FileModule(path.read_bytes(), reader)
        must_answer(model)
    except TinydigitsError as error:
        raise TinydigitsError(
            str(path), error.problem, got=error.got, expected=error.expected, hint=error.hint
        ) from error
    reason = f"{what} {NO_TRAIN_MODE}"
    lacks = {
        "train": reason, "dropout": reason, "batch_norm": "exporters fold BatchNorm into the layer before it",
        "state": f"{what} has no state dict", "devices": f"{what} is asked through {runtime}, on the CPU",
    }  # fmt: skip
    if model.batch_size is not None:
        lacks["batches"] = f"this .{kind} takes batches of {model.batch_size} alone"
    if structure is None:
        lacks["structure"] = f"the graph of {what} is not read"
    card = models.card_in(str(path), model.opened.metadata)
    subject = Subject(
        model, name=path.name, trained=True, file=path, lacks=lacks,
        read_structure=structure and partial(structure, model, path), **training_set(card),
    )  # fmt: skip
    model_name = card.model if card else None
    facts = JudgedTarget(kind=kind, name=path.name, model=model_name, **weights.facts(path))
    levels = (0.0, 1 / 255) if model.dtype == torch.uint8 else (None, None)
    own = InputFacts(input_shape=model.input_shape, mean=levels[0], std=levels[1])
    return Target(subject, facts, of_card(card) if card is not None else own)


def shape_of(sizes: list[Any]) -> tuple[int | None, tuple[int, ...] | None]:
    """The number of images and the shape of one; None for what the graph leaves open.

    >>> shape_of(["batch", 1, 28, 28]), shape_of([1, "height", 28])
    ((None, (1, 28, 28)), (1, None))
    """
    num_images, *shape = sizes
    return (
        num_images if isinstance(num_images, int) else None,
        tuple(shape) if all(isinstance(side, int) for side in shape) else None,
    )


def must_answer(model: Any) -> None:
    """Ask once, as the file itself says that it is asked; raises TinydigitsError where no answer comes.

    A file that does not say it is asked by the checks alone, which know more.
    """
    if model.input_shape is None:
        return
    try:
        levels = torch.rand(model.batch_size or 2, *model.input_shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            model((levels * 255 if model.dtype == torch.uint8 else levels).to(model.dtype))
    except Exception as error:  # of a library: too much memory, sizes that do not fit
        raise TinydigitsError("its graph", f"gives no answer: {first_line(error)}") from error
