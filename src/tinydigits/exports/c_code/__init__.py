"""A small compiler: an ONNX graph to one C header."""

from tinydigits.exports.c_code.emit_float import emit_float
from tinydigits.exports.c_code.emit_int8 import emit_int8
from tinydigits.exports.c_code.fuse import fuse
from tinydigits.exports.c_code.graph import Graph, from_onnx
from tinydigits.exports.c_code.toolchain import (
    MICROCONTROLLERS,
    Footprint,
    footprint_note,
    load_header,
    measure_footprint,
)

__all__ = [
    "MICROCONTROLLERS", "Footprint", "Graph", "emit_float", "emit_int8", "footprint_note", "from_onnx", "fuse",
    "load_header", "measure_footprint",
]  # fmt: skip
