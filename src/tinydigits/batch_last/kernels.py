"""`kernels.c`, compiled on this machine when it is first asked for."""

from __future__ import annotations

import ctypes
from functools import cache
from importlib import resources

from tinydigits.compiler import load_library

__all__ = ["LANES", "Layer", "load_kernels"]

LANES = 16  # images that every operation takes at once; WIDTH in kernels.c

_POINTER, _INT, _LONG = ctypes.c_void_p, ctypes.c_int, ctypes.c_long


class Layer(ctypes.Structure):
    """The size of a convolution, as `kernels.c` takes it; `vectors` of 16 images."""

    _fields_ = (
        ("num_in", _INT), ("num_out", _INT), ("height", _INT), ("width", _INT), ("kernel", _INT), ("pad", _INT),
        ("vectors", _LONG),
    )  # fmt: skip


_ARGUMENTS = {
    "conv": (Layer, *[_POINTER] * 4, _INT),
    "conv_weights": (Layer, *[_POINTER] * 3, _INT),
    "depthwise": (Layer, *[_POINTER] * 4, _INT),
    "depthwise_weights": (Layer, *[_POINTER] * 3, _INT),
    "norm": (_INT, _LONG, _INT, ctypes.c_float, *[_POINTER] * 7, _INT),
    "norm_back": (_INT, _LONG, _INT, *[_POINTER] * 9, _INT),
    "relu": (_LONG, *[_POINTER] * 2),
    "relu_back": (_LONG, *[_POINTER] * 3),
    "max_pool": (*[_INT] * 3, _LONG, *[_POINTER] * 2, _INT),
    "max_pool_back": (*[_INT] * 3, _LONG, *[_POINTER] * 3, _INT),
}
# The second and third where a compiler has no OpenMP, or another word for this machine's processor.
_FLAGS = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",))


@cache
def load_kernels() -> ctypes.CDLL:
    """The functions of `kernels.c`; raises TinydigitsError where there is no C compiler that takes them."""
    text = resources.files("tinydigits.batch_last").joinpath("kernels.c").read_text("utf-8")
    library = load_library(text, where="batch_last", flags=_FLAGS)
    for name, arguments in _ARGUMENTS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return library
