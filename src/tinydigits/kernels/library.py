"""The two files of C, each compiled on this machine when it is first asked for."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import resources

from tinydigits.compiler import load_library

__all__ = ["LANES", "Layer", "load_kernels"]

LANES = 16  # numbers that every operation takes at once; images come in multiples of it

_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_long


class Layer(ctypes.Structure):
    """The size of a convolution, as `batch_last.c` takes it; `vectors` of 16 images."""

    _fields_ = (
        ("num_in", _INT), ("num_out", _INT), ("height", _INT), ("width", _INT), ("kernel", _INT), ("pad", _INT),
        ("vectors", _LONG),
    )  # fmt: skip


# Of the layers that both files have, and of those in batch_last.c alone.
_ARGUMENTS = {
    "norm": (_INT, _LONG, _INT, ctypes.c_float, *[_POINTER] * 7, _INT),
    "norm_back": (_INT, _LONG, _INT, *[_POINTER] * 9, _INT),
    "max_pool": (*[_INT] * 3, _LONG, *[_POINTER] * 2, _INT),
    "max_pool_back": (*[_INT] * 3, _LONG, *[_POINTER] * 3, _INT),
}
_MORE = {
    "conv": (Layer, *[_POINTER] * 4, _INT),
    "conv_weights": (Layer, *[_POINTER] * 3, _INT),
    "depthwise": (Layer, *[_POINTER] * 4, _INT),
    "depthwise_weights": (Layer, *[_POINTER] * 3, _INT),
    "relu": (_LONG, *[_POINTER] * 2),
    "relu_back": (_LONG, *[_POINTER] * 3),
}
# The second and third where a compiler has no OpenMP, or another word for this machine's processor.
_FLAGS = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",))


@cache
def load_kernels(name: str) -> ctypes.CDLL:
    """The functions of `name`.c, batch_last or channels_last; raises TinydigitsError where no C compiler takes them."""
    text = resources.files("tinydigits.kernels").joinpath(f"{name}.c").read_text("utf-8")
    library = load_library(text, where=f"{name}.c", flags=_FLAGS)
    for function_name, arguments in (_ARGUMENTS | (_MORE if name == "batch_last" else {})).items():
        function = getattr(library, function_name)
        function.argtypes, function.restype = arguments, None
    return library
