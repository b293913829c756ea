"""LiteRT, once TensorFlow Lite: a .tflite that takes one image, normalisation inside; for phones and small boards."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from tinydigits.errors import TinydigitsError, first_line
from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Answer, Trained, grey_card, grey_model, one_by_one
from tinydigits.extras import extra
from tinydigits.models import CARD_KEY
from tinydigits.quiet import quiet_stderr

__all__ = ["FORMAT", "load", "write"]


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>.tflite`: `images`, float (1, 1, 28, 28), 0 paper to 1 ink, to `logits`, float (1, classes).

    Its associated file `tinydigits` (`unzip` shows it) has the model's card as JSON; the card's `mean` is 0 and its
    `std` is 1, for the graph normalises by itself. Raises NotInstalled without the extra `litert`, TinydigitsError for
    a model that the converter cannot take.
    """
    import torch

    with extra("litert", "export litert"), quiet_stderr():
        import litert_torch
    litert_torch.config.show_progress = False

    class Named(torch.nn.Module):
        """Its answer by name, which becomes the output's."""

        def __init__(self) -> None:
            super().__init__()
            self.grey = grey_model(trained, plain_weights=True)

        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.grey(images)}

    images = {"images": torch.zeros(1, *trained.card.input_shape)}
    try:
        with quiet_stderr():
            content = litert_torch.convert(Named().eval(), sample_kwargs=images).model_content()
    except Exception as error:  # of torch.export, JAX and the converter, each its own
        raise TinydigitsError("export litert", f"cannot be converted: {first_line(error)}", hint="onnx") from error
    return trained.write(folder / f"{trained.stem}.tflite", _with_card(content, grey_card(trained).model_dump_json()))


def load(path: Path) -> Answer:
    """Ask the file by LiteRT's interpreter, one thread."""
    with extra("litert", "export litert"):
        from ai_edge_litert.interpreter import Interpreter
    with quiet_stderr():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    (image,), (logits,) = interpreter.get_input_details(), interpreter.get_output_details()

    def logits_of(grey_1CHW: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(image["index"], grey_1CHW)
        interpreter.invoke()
        logits_1K: np.ndarray = interpreter.get_tensor(logits["index"])
        return logits_1K

    return one_by_one(logits_of)


def _with_card(content: bytes, card: str) -> bytes:
    """The model with the card in an archive behind it, where the format has its associated files.

    The model's own table of metadata would have to be written anew, and Python's FlatBuffers do not keep weights at
    multiples of 16 bytes, which some processors ask for.
    """
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(zipfile.ZipInfo(CARD_KEY), card)  # without a date: the same model gives the same bytes
    return buffer.getvalue()


FORMAT = Format(write, load)
