"""One header: what it says of itself, kernels, constants, the function.

The C is written with names that begin with `td_` and `TD_`. In a header these become the model's own, so that a program
can have several.
"""

from __future__ import annotations

import re
import textwrap
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinydigits.errors import printable
from tinydigits.exports.c_code.graph import Graph, Node
from tinydigits.models import WeightsCard

__all__ = ["Source", "c_float", "prefix_of", "render"]

_ROOM = Path(__file__).parent
_TYPES = {"float32": "float", "int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t"}


@dataclass
class Source:
    """C that is being written: constants, the calls of `td_predict`, the kernels that these need."""

    folder: str
    constants: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    kernels: dict[str, str] = field(default_factory=dict)
    num_bytes: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def array(self, name: str, values: np.ndarray) -> str:
        """A constant array; gives its name. The same numbers are written once."""
        values = values.ravel()
        texts = map(c_float if values.dtype == np.float32 else str, values)
        body = "\n".join(textwrap.wrap(", ".join(texts), 110))
        key = f"{values.dtype}{body}"
        if key not in self.names:
            self.names[key] = name
            self.num_bytes += values.nbytes
            self.constants.append(f"static const {_TYPES[str(values.dtype)]} {name}[{len(values)}] = {{\n{body}}};")
        return self.names[key]

    def window(self, graph: Graph, node: Node, number: int) -> str:
        """The address of a node's window, a constant. The same window is written once."""
        text = _window_text(graph, node)
        if text not in self.names:
            self.names[text] = f"td_window{number}"
            self.num_bytes += 30
            self.constants.append(f"static const td_window {self.names[text]} = {text};")
        return f"&{self.names[text]}"

    def call(self, kernel: str, *arguments: object, lanes: int = 0) -> None:
        """A call of a kernel, which is taken into the header."""
        self.need(kernel, lanes)
        name = f"td_{kernel}_{lanes}" if lanes else f"td_{kernel}"
        self.calls.append(f"{name}({', '.join(map(str, arguments))});")

    def need(self, kernel: str, lanes: int = 0) -> None:
        """Take a kernel into the header, once; with `lanes`, the one for so many channels."""
        folders = (self.folder, "float")  # the window is the same for both
        path = next(path for folder in folders if (path := _ROOM / folder / f"{kernel}.h").is_file())
        text = path.read_text(encoding="utf-8").replace("LANES", str(lanes)).replace("4 * 1)", "4)")
        self.kernels.setdefault(f"{kernel}_{lanes}", text.strip())


def c_float(value: float) -> str:
    """A number as a float of C.

    >>> c_float(0.1), c_float(2)
    ('0.100000001f', '2.0f')
    """
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _window_text(graph: Graph, node: Node) -> str:
    """A node's window as a C initialiser, in the order of `td_window`."""
    channels, rows, columns = graph.shapes[node.inputs[0]]
    out_channels, out_rows, out_columns = graph.shapes[node.output]
    group_channels = channels // node.groups
    numbers = [rows, columns, channels, group_channels, out_rows, out_columns, out_channels]
    numbers += [*node.kernel, *node.stride, *node.padding, *node.dilation]
    return f"{{{', '.join(map(str, numbers))}}}"


def render(source: Source, card: WeightsCard, *, title: str, file: str, scratch: int, body: Iterable[str]) -> str:
    """The header's text. `scratch` is in bytes."""
    source.need("softmax")
    first = ["window", "slide", "exp", "lanes", "round", "dot", "sum"]
    order = sorted(source.kernels, key=lambda name: (stem := name.rpartition("_")[0]) and (
        first.index(stem) if stem in first else len(first)
    ))  # fmt: skip
    geometry = "fitted to 20×20 pixels and centred by mass, as MNIST's digits are"
    code = "\n\n".join([*(source.kernels[name] for name in order), "\n".join(source.constants)])
    text = "\n".join(f"    {line}" for line in body)
    prefix = prefix_of(file)
    frame = (_ROOM / "header.h.template").read_text(encoding="utf-8")
    return _renamed(frame, prefix).format(
        title=_comment(title), file=file, num_bytes=f"{source.num_bytes:,}", scratch=f"{scratch:,}",
        classes=textwrap.shorten(_comment(", ".join(card.classes)), 100),
        num_classes=len(card.classes), last=len(card.classes) - 1, num_pixels=int(np.prod(card.input_shape)),
        geometry=geometry, code=_renamed(code, prefix), body=_renamed(text, prefix),
        checksum=zlib.crc32(f"{code}{text}".encode()),
    )  # fmt: skip


def prefix_of(file: str) -> str:
    """What the names in a header of this name begin with, in C.

    >>> prefix_of("frontier-3k-int8.h"), prefix_of("3x3.h")
    ('frontier_3k_int8', 'model_3x3')
    """
    name = re.sub(r"[^A-Za-z0-9]", "_", Path(file).stem)
    return name if name[0].isalpha() else f"model_{name}"


def _renamed(code: str, prefix: str) -> str:
    code = re.sub(r"\btd(?=\b|_)", prefix, code)
    return re.sub(r"\bTD_", f"{prefix.upper()}_", code)


def _comment(text: str) -> str:
    """Text that neither ends a comment of C nor begins one."""
    return printable(text).replace("*/", "* /").replace("/*", "/ *")
