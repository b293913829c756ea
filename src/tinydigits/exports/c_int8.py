"""One C header in 8 bits, integers up to the logits, calibrated on training images; for microcontrollers."""

from __future__ import annotations

from pathlib import Path

from tinydigits.exports.c import graph_of, title_of
from tinydigits.exports.c_code import emit_int8, footprint_note, load_header
from tinydigits.exports.onnx_int8 import calibration_images
from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Trained

__all__ = ["FORMAT", "write"]


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>-int8.h`: the interface of the `c` format, weights and activations in 8 bits."""
    path = folder / f"{trained.stem}-int8.h"
    title = f"{title_of(trained)}, in 8 bits"
    images = calibration_images(trained)
    return trained.write(path, emit_int8(graph_of(trained), trained.card, images, title=title, file=path.name))


FORMAT = Format(write, load_header, parity="accuracy", note=footprint_note)
