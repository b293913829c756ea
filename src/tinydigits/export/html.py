"""HTML: one file that opens from disk, a page to draw on that reads digits by itself, in plain JavaScript."""

from __future__ import annotations

from pathlib import Path

from tinydigits.errors import TinydigitsError
from tinydigits.export.onnx import model_proto
from tinydigits.export.trained import Trained
from tinydigits.page import assemble, network_of
from tinydigits.run import write_atomic

__all__ = ["MAX_BYTES", "note", "write"]

MAX_BYTES = 200_000


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>.html`, the drawing page with the model inside: nothing is loaded from anywhere.

    Raises TinydigitsError for a model that needs more than 200,000 bytes, or operations that the page does not have.
    """
    text = assemble([network_of(model_proto(trained).SerializeToString(), trained.stem)])
    num_bytes = len(text.encode("utf-8"))
    if num_bytes > MAX_BYTES:
        raise TinydigitsError(
            "export html", "the page would be too large", got=f"{num_bytes:,} bytes", expected=f"at most {MAX_BYTES:,}"
        )
    path = folder / f"{trained.stem}.html"
    write_atomic(path, text)
    return path


def note(path: Path) -> str:
    """Why there is no parity line: only a browser can ask the page."""
    return "the weights are those of the ONNX file; a browser asks the page, so no test image was asked here"
