"""torch.export's own archive, dynamic batch, normalisation inside; for torch without the model's source."""

from __future__ import annotations

import io
from pathlib import Path

from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Answer, Trained, answer_of, grey_card, grey_model

__all__ = ["FORMAT", "load", "write"]


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>.pt2`, for `torch.export.load(path).module()`: grey levels, float (batch, 1, 28, 28), to logits.

    Its extra file `tinydigits` has the model's card as JSON; the card's `mean` is 0 and its `std` is 1, for the graph
    normalises by itself.
    """
    import torch

    example = (torch.zeros(2, *trained.card.input_shape),)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(grey_model(trained), example, dynamic_shapes={"images": {0: batch}})
    for node in program.graph.nodes:  # paths of this machine are nobody's business
        node.meta.pop("stack_trace", None)
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={"tinydigits": grey_card(trained).model_dump_json()})
    return trained.write(folder / f"{trained.stem}.pt2", buffer.getvalue())


def load(path: Path) -> Answer:
    """Ask the file by torch."""
    import torch

    return answer_of(torch.export.load(path).module(), mean=0.0, std=1.0)


FORMAT = Format(write, load)
