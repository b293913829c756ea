"""An ONNX file, asked through onnxruntime; its structure is read from its operations."""

from __future__ import annotations

import hashlib
import importlib
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from tinydigits import models
from tinydigits.bounds import asking
from tinydigits.checks import Subject
from tinydigits.errors import TinydigitsError, first_line
from tinydigits.verify.targets import weights
from tinydigits.verify.targets._file import NO_TRAIN_MODE, in_batches, must_answer
from tinydigits.verify.targets._onnx_graph import as_torch
from tinydigits.verify.targets._target import Asked, InputSaid, Target, of_card

KIND = "an .onnx"
ORDER = 2

_TYPES = {
    "tensor(float)": torch.float32, "tensor(double)": torch.float64, "tensor(float16)": torch.float16,
    "tensor(uint8)": torch.uint8,
}  # fmt: skip


def takes(asked: Asked) -> bool:
    """A file that ends in .onnx."""
    return asked.is_file(".onnx")


def load(asked: Asked) -> Target:
    """Read the file, and its card from the metadata `tinydigits`, where it has one.

    Raises TinydigitsError when it is damaged, when onnxruntime is not installed, and when the graph takes anything but
    one tensor of numbers.
    """
    path = Path(asked.text)
    if not path.is_file():
        raise TinydigitsError(str(path), "no such file")
    if asked.device not in ("cpu", "auto"):
        raise TinydigitsError(f"target {path}", "an .onnx is asked on the CPU", got=asked.device, expected="cpu")
    try:
        model = OnnxModule(path.read_bytes())
        must_answer(model)
    except TinydigitsError as error:
        raise TinydigitsError(
            str(path), error.problem, got=error.got, expected=error.expected, hint=error.hint
        ) from error
    reason = f"an .onnx {NO_TRAIN_MODE}"
    lacks = {
        "train": reason, "dropout": reason, "batch_norm": "exporters fold BatchNorm into the layer before it",
        "state": "an .onnx has no state dict", "devices": "an .onnx is asked through onnxruntime, on the CPU",
    }  # fmt: skip
    if model.batch_size is not None:
        lacks["batches"] = f"this .onnx takes batches of {model.batch_size} alone"
    card = models.card_in(str(path), model.metadata)
    subject = Subject(
        model, name=path.name, trained=True, file=path, lacks=lacks, read_structure=lambda: _structure(model, path)
    )
    facts: dict[str, Any] = {"kind": "onnx", "name": path.name, "model": card.model if card else None, "options": {}}
    says = InputSaid(model.input_shape, 0.0, 1 / 255) if model.dtype == torch.uint8 else InputSaid(model.input_shape)
    says = of_card(card) if card is not None else says
    return Target(subject, facts | weights.facts(path), says)


class OnnxModule(nn.Module):
    """A session of onnxruntime as a module, with as many threads as torch has when it is made.

    `batch_size` is None where it takes any number of images. Its one buffer is the file's hash: no weights.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        runtime = _need("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.log_severity_level = 4  # what it has to say is in the error
        try:
            with asking("an .onnx"):
                self.session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes, one for each kind of damage
            problem = f"not a whole ONNX file that onnxruntime reads: {first_line(error)}"
            raise TinydigitsError("an .onnx", problem) from error
        inputs = self.session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(one.name for one in inputs)
            raise TinydigitsError("an .onnx", "its graph", got=f"the inputs {names}", expected="one: the images")
        self.content, self.name = content, inputs[0].name
        if inputs[0].type not in _TYPES:
            raise TinydigitsError(
                "an .onnx", f"its input {self.name}", got=inputs[0].type, expected=f"one of {', '.join(_TYPES)}"
            )
        self.dtype = _TYPES[inputs[0].type]
        num_images, *shape = inputs[0].shape
        self.batch_size = num_images if isinstance(num_images, int) else None
        self.input_shape = tuple(shape) if all(isinstance(side, int) for side in shape) else None
        self.metadata = dict(self.session.get_modelmeta().custom_metadata_map)
        digest = bytearray(hashlib.sha256(content).digest())
        self.register_buffer("sha256", torch.frombuffer(digest, dtype=torch.uint8).clone())

    def forward(self, images: Tensor) -> Tensor:
        return in_batches(self._ask, images, self.batch_size)

    def _ask(self, images: Tensor) -> Tensor:
        images = images.round().clamp(0, 255) if self.dtype == torch.uint8 else images
        given = images.detach().to(self.dtype).contiguous().numpy()
        with asking("an .onnx"):
            return torch.from_numpy(self.session.run(None, {self.name: given})[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return OnnxModule, (self.content,)

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxModule:
        copied = OnnxModule.__new__(OnnxModule)
        nn.Module.__init__(copied)
        copied.__dict__.update({key: value for key, value in vars(self).items() if not key.startswith("_")})
        copied.register_buffer("sha256", self.get_buffer("sha256").clone())
        return copied.train(self.training)


def _structure(model: OnnxModule, path: Path) -> nn.Module:
    """The same graph in torch's operations, held against onnxruntime's answers."""
    onnx = _need("onnx")
    rebuilt = as_torch(onnx.load(io.BytesIO(model.content)), str(path))
    generator = torch.Generator().manual_seed(int(model.get_buffer("sha256")[0]))
    images = torch.rand(2, *(model.input_shape or (1, 28, 28)), generator=generator)
    images = images * 255 if model.dtype == torch.uint8 else images
    with torch.no_grad(), asking(str(path)):
        expected, got = model(images), rebuilt(images)
    if expected.shape != got.shape or not torch.allclose(expected.float(), got.float(), rtol=1e-3, atol=1e-3):
        raise TinydigitsError(str(path), "its graph cannot be read: read as torch's operations it gives other answers")
    return rebuilt


def _need(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise TinydigitsError("an .onnx", f"needs {package}", hint="pip install 'tinydigits[export]'") from error
