"""One C header in floats that needs no library and allocates nothing: `<name>_predict(image, probabilities)`."""

from __future__ import annotations

from pathlib import Path

from tinydigits.exports.c_code import Graph, emit_float, footprint_note, from_onnx, fuse, load_header
from tinydigits.exports.onnx import model_proto
from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Trained
from tinydigits.onnx_graph import read_onnx

__all__ = ["FORMAT", "graph_of", "title_of", "write"]


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>.h`; its first lines say how it is used, and how much memory it takes.

    The model goes by way of the `onnx` format, so the C is that graph's. Raises TinydigitsError for an operation that
    no C is written for.
    """
    path = folder / f"{trained.stem}.h"
    return trained.write(path, emit_float(graph_of(trained), trained.card, title=title_of(trained), file=path.name))


def graph_of(trained: Trained) -> Graph:
    """The model as the fused graph that C is made of."""
    return fuse(from_onnx(read_onnx(model_proto(trained).SerializeToString(), "export c")))


def title_of(trained: Trained) -> str:
    """What the header's first line says."""
    num_parameters = sum(parameter.numel() for parameter in trained.model.parameters())
    return f"{trained.stem}: {trained.card.model.rpartition(':')[2]}, {num_parameters:,} parameters"


FORMAT = Format(write, load_header, note=footprint_note)
