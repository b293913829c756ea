"""The weights alone, without pickle; the header says what they belong to. For torch with this package."""

from __future__ import annotations

from pathlib import Path

from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Trained, answer_of_weights
from tinydigits.models import weights_bytes

__all__ = ["FORMAT", "write"]


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>.safetensors`: parameters and buffers by name, and the model's card as JSON under `tinydigits`."""
    return trained.write(folder / f"{trained.stem}.safetensors", weights_bytes(trained.model, trained.card))


FORMAT = Format(write, answer_of_weights, builds=True)
