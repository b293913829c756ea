"""Graphs of others: what plain models have is read, and what torch would run of an archive is not.

The hostile ones are in `tests/reliability/test_hostile.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from tinydigits.contract import Contract
from tinydigits.errors import TinydigitsError
from tinydigits.verification import Request, verify

SMALL = Contract(name="small", shapes={"output": {"classes": 10}}, behaviour={"determinism": True, "finite": True})


class Attention(nn.Module):
    """A name with a dash, a norm, attention, slices, and a block without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({"first-one": nn.TransformerEncoderLayer(28, 4, 32, batch_first=True)})
        self.head = nn.Linear(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            mean = images.mean()
        rows = self.layers["first-one"](images.squeeze(1) - mean)
        rows = torch.cat([rows[:, 14:], rows[:, :14]], 1)
        return torch.einsum("bi,ij->bj", self.head(rows.reshape(rows.shape[0], -1)), torch.eye(10))


class Recurrent(nn.Module):
    """What is not of convolutions: an LSTM over the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.head = nn.LSTM(28, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.rows(images.squeeze(1))[0][:, -1]).log_softmax(1)


class Resized(nn.Module):
    """Sizes that are computed from the batch's."""

    def __init__(self) -> None:
        super().__init__()
        self.larger, self.conv = nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(1, 10, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = nn.functional.interpolate(self.conv(self.larger(images)), size=(7, 7))
        flat = maps.view(images.shape[0] * 10, 49).mean(1) + torch.arange(1) + torch.zeros(1)
        return flat.view(images.shape[0], 10).clamp(-1, 1)


@pytest.mark.parametrize("is_core", [False, True])
@pytest.mark.parametrize("made", [Attention, Recurrent, Resized])
def test_a_plain_models_archive_is_read(made: type[nn.Module], is_core: bool, tmp_path: Path) -> None:
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(made().eval(), (torch.zeros(2, 1, 28, 28),), dynamic_shapes=shapes)
    torch.export.save(program.run_decompositions() if is_core else program, tmp_path / "net.pt2")
    assert verify(Request(target=tmp_path / "net.pt2", contract=SMALL)).word == "holds"


def test_a_plain_models_onnx_is_read(tmp_path: Path) -> None:
    program = torch.onnx.export(
        Resized().eval(), (torch.zeros(2, 1, 28, 28),), dynamo=True, dynamic_shapes=({0: "batch"},), verbose=False
    )
    assert program is not None
    (tmp_path / "net.onnx").write_bytes(program.model_proto.SerializeToString())
    assert verify(Request(target=tmp_path / "net.onnx", contract=SMALL)).word == "holds"


def test_an_onnx_that_answers_nothing_of_its_own_shape_is_refused(tmp_path: Path) -> None:
    images = onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 1, 28, 28])
    logits = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["rows", "columns"])
    shape = onnx.numpy_helper.from_array(np.array([7, 11]), "shape")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Reshape", ["images", "shape"], ["logits"])], "graph", [images], [logits], [shape]
    )
    opset = onnx.helper.make_opsetid("", 18)
    onnx.save(onnx.helper.make_model(graph, ir_version=10, opset_imports=[opset]), tmp_path / "net.onnx")
    with pytest.raises(TinydigitsError, match="gives no answer"):
        verify(Request(target=tmp_path / "net.onnx", contract=SMALL))
