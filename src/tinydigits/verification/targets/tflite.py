"""A file of LiteRT (TensorFlow Lite), asked through its interpreter; its graph is not read."""

from __future__ import annotations

import io
import zipfile

import torch
from torch import Tensor

from tinydigits.archive import require_honest
from tinydigits.bounds import asking
from tinydigits.errors import TinydigitsError, first_line
from tinydigits.extras import extra
from tinydigits.models import CARD_KEY
from tinydigits.quiet import quiet_stderr
from tinydigits.verification.request import Request
from tinydigits.verification.targets._file import Opened, load_foreign, shape_of
from tinydigits.verification.targets._target import Kind, Target

_NAME = "a .tflite"


def takes(request: Request) -> bool:
    """A file that ends in .tflite."""
    return request.is_file(".tflite")


def load(request: Request) -> Target:
    """Read the file, and its card from the associated file `tinydigits`, where it has one.

    Raises TinydigitsError when it is damaged, when LiteRT is not installed, and when the graph takes anything but one
    tensor of floats.
    """
    return load_foreign(request, _NAME, "LiteRT", open_interpreter)


def open_interpreter(content: bytes) -> Opened:
    """An interpreter, with as many threads as torch has now."""
    with extra("litert", _NAME):
        from ai_edge_litert.interpreter import Interpreter
    try:
        with asking(_NAME), quiet_stderr():
            interpreter = Interpreter(model_content=content, num_threads=torch.get_num_threads())
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise TinydigitsError(_NAME, f"not a whole file that LiteRT reads: {first_line(error)}") from error
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1:
        names = ", ".join(one["name"] for one in inputs)
        raise TinydigitsError(_NAME, "its graph", got=f"the inputs {names}", expected="one: the images")
    (image,) = inputs
    if image["dtype"].__name__ != "float32":
        raise TinydigitsError(_NAME, f"its input {image['name']}", got=image["dtype"].__name__, expected="float32")

    def ask(images: Tensor) -> Tensor:
        with asking(_NAME):
            interpreter.set_tensor(image["index"], images.numpy())
            interpreter.invoke()
            return torch.from_numpy(interpreter.get_tensor(outputs[0]["index"]))

    sizes = [int(side) for side in image["shape"]]
    return Opened(ask, torch.float32, *shape_of(sizes), metadata=_metadata(content))


def _metadata(content: bytes) -> dict[str, str]:
    """The card among the associated files, which lie in an archive behind the model; strangers may have none."""
    require_honest(content, _NAME)
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, NotImplementedError):
        return {}
    with archive:
        try:
            return {name: archive.read(name).decode("utf-8") for name in {CARD_KEY} & set(archive.namelist())}
        except Exception as error:  # zipfile raises of all kinds for damaged entries
            raise TinydigitsError(_NAME, f"its associated file {CARD_KEY} is damaged: {first_line(error)}") from error


KIND = Kind(_NAME, 2, takes, load)
