"""ONNX: one file, dynamic batch, opset 18, normalisation inside; for onnxruntime, browsers and phones."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Answer, Trained, grey_card, grey_model, softmax
from tinydigits.extras import extra
from tinydigits.onnx_graph import open_session

__all__ = ["FORMAT", "OPSET", "load", "model_proto", "write"]

OPSET = 18  # the newest that onnxruntime, onnxruntime-web and the usual converters all read


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>.onnx`: `images`, float (batch, 1, 28, 28), 0 paper to 1 ink, to `logits`, float (batch, classes).

    Its metadata has the model's card as JSON under `tinydigits`; the card's `mean` is 0 and its `std` is 1, for the
    graph normalises by itself.
    """
    return trained.write(folder / f"{trained.stem}.onnx", model_proto(trained).SerializeToString())


def load(path: Path) -> Answer:
    """Ask the file by onnxruntime, one thread."""
    session = open_session(path, str(path))

    def answer(images_NHW: np.ndarray) -> np.ndarray:
        grey_BCHW = images_NHW[:, None].astype(np.float32) / np.float32(255)
        return softmax(session.run(["logits"], {"images": grey_BCHW})[0])

    return answer


def model_proto(trained: Trained) -> Any:
    """The checked ONNX model, as onnx's ModelProto."""
    import torch

    with extra("export", "export onnx"):
        import onnx
        import onnxscript  # noqa: F401  torch imports it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own deprecations
        level = logging.getLogger("torch.onnx").level
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which is not needed
        try:
            program = torch.onnx.export(
                # Two images, or the batch would be taken for the constant 1.
                grey_model(trained, plain_weights=True), (torch.zeros(2, *trained.card.input_shape),),
                dynamo=True, opset_version=OPSET, input_names=["images"], output_names=["logits"],
                dynamic_shapes={"images": {0: "batch"}}, external_data=False, verbose=False,
            )  # fmt: skip
        finally:
            logging.getLogger("torch.onnx").setLevel(level)
    assert program is not None  # it is None only for an export to a file
    proto = program.model_proto
    # The exporter notes the Python source of every node, with the paths of this machine; half of a small file.
    for message in (proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.initializer):
        message.ClearField("doc_string")
        message.ClearField("metadata_props")
    del proto.graph.value_info[:]
    onnx.helper.set_model_props(proto, {"tinydigits": grey_card(trained).model_dump_json()})
    onnx.checker.check_model(proto, full_check=True)
    return proto


FORMAT = Format(write, load)
