"""An ONNX file, asked through onnxruntime; its structure is read from its operations."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from tinydigits import onnx_graph
from tinydigits.bounds import asking
from tinydigits.errors import TinydigitsError, first_line
from tinydigits.verification.request import Request
from tinydigits.verification.targets._file import FileModule, Opened, load_foreign, shape_of
from tinydigits.verification.targets._onnx_module import OnnxModule
from tinydigits.verification.targets._target import Kind, Target

_NAME = "an .onnx"

_TYPES = {
    "tensor(float)": torch.float32, "tensor(double)": torch.float64, "tensor(float16)": torch.float16,
    "tensor(uint8)": torch.uint8,
}  # fmt: skip


def takes(request: Request) -> bool:
    """A file that ends in .onnx."""
    return request.is_file(".onnx")


def load(request: Request) -> Target:
    """Read the file, and its card from the metadata `tinydigits`, where it has one.

    Raises TinydigitsError when it is damaged, when onnxruntime is not installed, and when the graph takes anything but
    one tensor of numbers.
    """
    return load_foreign(request, _NAME, "onnxruntime", open_session, structure=_structure)


def open_session(content: bytes) -> Opened:
    """A session of onnxruntime, with as many threads as torch has now."""
    session = onnx_graph.open_session(content, _NAME, threads=torch.get_num_threads())
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs)
        raise TinydigitsError(_NAME, "its graph", got=f"the inputs {names}", expected="one: the images")
    (image,) = inputs
    if image.type not in _TYPES:
        raise TinydigitsError(_NAME, f"its input {image.name}", got=image.type, expected=f"one of {', '.join(_TYPES)}")

    def ask(images: Tensor) -> Tensor:
        with asking(_NAME):
            return torch.from_numpy(session.run(None, {image.name: images.numpy()})[0])

    return Opened(ask, _TYPES[image.type], *shape_of(image.shape), dict(session.get_modelmeta().custom_metadata_map))


def _structure(model: FileModule, path: Path) -> nn.Module:
    """The same graph in torch's operations, held against onnxruntime's answers."""
    graph = onnx_graph.read_onnx(model.content, str(path))
    generator = torch.Generator().manual_seed(int(model.get_buffer("sha256")[0]))
    images = torch.rand(2, *(model.input_shape or (1, 28, 28)), generator=generator)
    images = images * 255 if model.dtype == torch.uint8 else images
    try:
        with torch.no_grad(), asking(str(path)):
            rebuilt, expected = OnnxModule(graph, str(path)), model(images)
            got = rebuilt(images)
    except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise TinydigitsError(str(path), f"its graph cannot be read: {first_line(error)}") from error
    if expected.shape != got.shape or not torch.allclose(expected.float(), got.float(), rtol=1e-3, atol=1e-3):
        raise TinydigitsError(str(path), "its graph cannot be read: read as torch's operations it gives other answers")
    return rebuilt


KIND = Kind(_NAME, 2, takes, load)
