"""The one reader of ONNX: what a file computes, as plain data for others to interpret; its answers, by onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinydigits.bounds import asking
from tinydigits.environment import telemetry_off
from tinydigits.errors import TinydigitsError, first_line
from tinydigits.extras import extra

__all__ = ["OnnxGraph", "OnnxNode", "open_session", "read_onnx"]


@dataclass(frozen=True)
class OnnxNode:
    """One operation. An attribute is a number, text, an array, or a list; a graph within the graph stays onnx's own."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class OnnxGraph:
    """Operations in the file's order, and what they work with.

    `constants` are the file's initializers and what its Constant nodes hold, which are not among `nodes`. `inputs` are
    the other inputs with their shapes, the images as a rule; 0 is a size that the file leaves open.
    """

    nodes: tuple[OnnxNode, ...]
    constants: dict[str, np.ndarray]
    inputs: dict[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    metadata: dict[str, str]


def read_onnx(source: Path | bytes, where: str) -> OnnxGraph:
    """Read the graph of a file, or of the bytes of one.

    >>> from tinydigits import pretrained
    >>> graph = read_onnx(pretrained.find("gap-cnn-tuned").onnx, "mine")
    >>> graph.inputs, graph.outputs, graph.nodes[2].op
    ({'images': (0, 1, 28, 28)}, ('logits',), 'Conv')

    Raises TinydigitsError when it is damaged, holds sparse weights, or onnx is not installed.
    """
    with extra("export", where):
        import onnx
        from onnx import numpy_helper
    with _reading(where):
        model = onnx.load_from_string(source if isinstance(source, bytes) else source.read_bytes())
        if model.graph.sparse_initializer:
            raise ValueError("its weights are sparse")
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        nodes = []
        for node in model.graph.node:
            attributes = {one.name: _value(one) for one in node.attribute}
            if node.op_type == "Constant":
                ((kind, value),) = attributes.items()
                plain = np.int64 if "int" in kind else np.float32
                constants[node.output[0]] = value if kind == "value" else np.asarray(value, dtype=plain)
            else:
                nodes.append(OnnxNode(node.op_type, tuple(node.input), tuple(node.output), attributes))
        inputs = {
            one.name: tuple(side.dim_value for side in one.type.tensor_type.shape.dim)
            for one in model.graph.input if one.name not in constants
        }  # fmt: skip
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        return OnnxGraph(tuple(nodes), constants, inputs, tuple(one.name for one in model.graph.output), metadata)


def _value(attribute: Any) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return value.decode("utf-8") if isinstance(value, bytes) else value


def open_session(source: Path | bytes, where: str, *, threads: int = 1) -> Any:
    """A session of onnxruntime for a file, or for the bytes of one.

    Raises TinydigitsError when it is damaged, or onnxruntime is not installed.
    """
    with extra("export", where), telemetry_off():
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what it has to say is in the error
    content = source if isinstance(source, bytes) else str(source)
    with _reading(where):
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Within bounds; whatever is raised becomes one sentence, for the errors of these libraries have no common base."""
    try:
        with asking(where):
            yield
    except Exception as error:
        raise TinydigitsError(where, f"not a readable ONNX file: {first_line(error)}") from error
