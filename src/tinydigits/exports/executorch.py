"""ExecuTorch: a .pte that takes one image, normalisation inside, for XNNPACK; for phones, by PyTorch's own runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinydigits.errors import TinydigitsError, first_line
from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Answer, Trained, grey_card, grey_model, one_by_one
from tinydigits.extras import extra
from tinydigits.models import CARD_KEY
from tinydigits.quiet import quiet_stderr

__all__ = ["FORMAT", "load", "write"]


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>.pte`: its method `forward` takes grey levels, float (1, 1, 28, 28), and gives logits, (1, classes).

    Its method `tinydigits` gives the model's card as JSON; the card's `mean` is 0 and its `std` is 1, for the graph
    normalises by itself. Raises NotInstalled without the extra `executorch`, TinydigitsError for a model that the
    converter cannot take.
    """
    import torch

    with extra("executorch", "export executorch"), quiet_stderr():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

    card = {CARD_KEY: grey_card(trained).model_dump_json()}
    try:
        with quiet_stderr():
            program = torch.export.export(
                grey_model(trained, plain_weights=True), (torch.zeros(1, *trained.card.input_shape),)
            )
            edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()], constant_methods=card)
            content = edge.to_executorch().buffer
    except Exception as error:  # of torch.export and the converter, each its own
        raise TinydigitsError("export executorch", f"cannot be converted: {first_line(error)}", hint="onnx") from error
    return trained.write(folder / f"{trained.stem}.pte", content)


def load(path: Path) -> Answer:
    """Ask the file by ExecuTorch's own runtime, one thread."""
    import torch

    with extra("executorch", "export executorch"), quiet_stderr():
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime
    with quiet_stderr():
        portable_lib._unsafe_reset_threadpool(1)  # unsafe while something runs, and nothing does
        program = Runtime.get().load_program(path)
        forward = program.load_method("forward")

    def logits_of(grey_1CHW: np.ndarray) -> np.ndarray:
        logits_1K: np.ndarray = forward.execute([torch.from_numpy(grey_1CHW)])[0].numpy().copy()
        return logits_1K

    return one_by_one(logits_of)


FORMAT = Format(write, load)
