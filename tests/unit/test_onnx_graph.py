"""The reader of ONNX: plain data out of any file, and one kind of sentence for what is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tinydigits.errors import TinydigitsError
from tinydigits.onnx_graph import read_onnx

TABLE = numpy_helper.from_array(np.arange(6, dtype=np.uint8).reshape(2, 3), "table")


def model(*nodes: Any) -> onnx.ModelProto:
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "table")]
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    made = helper.make_model(helper.make_graph(nodes, "graph", given, [answer], [TABLE]))
    helper.set_model_props(made, {"key": "text"})
    return made


def test_a_graph_is_plain_data(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "value": TABLE, "value_float": 0.5, "value_floats": [0.5, 1.5], "value_int": 7, "value_ints": [7, 8],
    }  # fmt: skip
    constants = [helper.make_node("Constant", [], [name], **{name: value}) for name, value in values.items()]
    made = model(*constants, helper.make_node("Gelu", ["x", ""], ["y", "z"], approximate="tanh", axes=[1, 2], r=0.5))
    (tmp_path / "one.onnx").write_bytes(made.SerializeToString())
    for graph in (read_onnx(tmp_path / "one.onnx", "file"), read_onnx(made.SerializeToString(), "bytes")):
        (node,) = graph.nodes
        assert (node.op, node.inputs, node.outputs) == ("Gelu", ("x", ""), ("y", "z"))
        assert node.attributes == {"approximate": "tanh", "axes": [1, 2], "r": 0.5}
        assert (graph.inputs, graph.outputs, graph.metadata) == ({"x": (0, 4)}, ("y",), {"key": "text"})
        table = numpy_helper.to_array(TABLE)
        expected = {
            "table": table, "value": table, "value_float": np.float32(0.5), "value_floats": np.float32([0.5, 1.5]),
            "value_int": np.int64(7), "value_ints": np.int64([7, 8]),
        }  # fmt: skip
        assert graph.constants.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(graph.constants[name], value, strict=True)


def cut(made: onnx.ModelProto) -> bytes:
    return made.SerializeToString()[:-9]


def enlarged(made: onnx.ModelProto) -> bytes:
    made.graph.initializer[0].dims[0] = 1 << 40
    return made.SerializeToString()


def beside(made: onnx.ModelProto) -> bytes:
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    made.graph.initializer[0].external_data.add(key="location", value="../secret")
    return made.SerializeToString()


def sparse(made: onnx.ModelProto) -> bytes:
    number, place = (numpy_helper.from_array(np.array([1], kind), "sparse") for kind in (np.float32, np.int64))
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(number, place, [1 << 20, 1 << 20]))
    return made.SerializeToString()


def of_text(made: onnx.ModelProto) -> bytes:
    made.graph.node.append(helper.make_node("Constant", [], ["text"], value_string="text"))
    return made.SerializeToString()


@pytest.mark.parametrize("damaged", [cut, enlarged, beside, sparse, of_text])
def test_what_cannot_be_read_is_refused_in_one_sentence(damaged: Callable[[onnx.ModelProto], bytes]) -> None:
    content = damaged(model(helper.make_node("Relu", ["x"], ["y"])))
    with pytest.raises(TinydigitsError, match=r"^mine\.onnx: not a readable ONNX file: [^\n]{10,}$"):
        read_onnx(content, "mine.onnx")
