"""A program of ExecuTorch, asked through its runtime; its graph is not read."""

from __future__ import annotations

import torch
from torch import Tensor

from tinydigits.bounds import asking
from tinydigits.errors import TinydigitsError, first_line
from tinydigits.extras import extra
from tinydigits.models import CARD_KEY
from tinydigits.quiet import quiet_stderr
from tinydigits.verification.request import Request
from tinydigits.verification.targets._file import Opened, load_foreign, shape_of
from tinydigits.verification.targets._target import Kind, Target

_NAME = "a .pte"
_FLOAT = 6  # as torch counts its types of numbers


def takes(request: Request) -> bool:
    """A file that ends in .pte."""
    return request.is_file(".pte")


def load(request: Request) -> Target:
    """Read the file, and its card from the method `tinydigits`, where it has one.

    Raises TinydigitsError when it is damaged, when ExecuTorch is not installed, and when its method `forward` takes
    anything but one tensor of floats.
    """
    return load_foreign(request, _NAME, "ExecuTorch", open_program)


def open_program(content: bytes) -> Opened:
    """The program's method `forward`, with as many threads as torch has now."""
    with quiet_stderr():
        with extra("executorch", _NAME):
            from executorch.extension.pybindings import portable_lib
            from executorch.runtime import Runtime
        portable_lib._unsafe_reset_threadpool(torch.get_num_threads())  # unsafe while something runs, and nothing does
    try:
        with asking(_NAME):
            program = Runtime.get().load_program(content)
            forward = program.load_method("forward")
            named = program.method_names & {CARD_KEY}
            metadata = {name: str(program.load_method(name).execute([])[0]) for name in named}
    except Exception as error:  # ExecuTorch raises of all kinds for damaged programs
        raise TinydigitsError(_NAME, f"not a whole program that ExecuTorch reads: {first_line(error)}") from error
    num_inputs = forward.metadata.num_inputs()
    if num_inputs != 1:
        raise TinydigitsError(_NAME, "its method forward", got=f"{num_inputs} inputs", expected="one: the images")
    image = forward.metadata.input_tensor_meta(0)
    if image.dtype() != _FLOAT:
        raise TinydigitsError(_NAME, "its method forward", got=f"numbers of type {image.dtype()}", expected="float32")

    def ask(images: Tensor) -> Tensor:
        with asking(_NAME):
            answer: Tensor = forward.execute([images])[0]
        return answer.clone()  # the next call writes over it

    return Opened(ask, torch.float32, *shape_of(list(image.sizes())), metadata=metadata)


KIND = Kind(_NAME, 2, takes, load)
