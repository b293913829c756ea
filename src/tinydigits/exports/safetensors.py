"""The weights alone, without pickle; the header says what they belong to. For torch with this package."""

from __future__ import annotations

from pathlib import Path

from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Answer, Trained, answer_of
from tinydigits.models import load_weights, weights_bytes

__all__ = ["FORMAT", "load", "write"]


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>.safetensors`: parameters and buffers by name, and the model's card as JSON under `tinydigits`."""
    path = folder / f"{trained.stem}.safetensors"
    trained.write(path, weights_bytes(trained.model, trained.card))
    return path


def load(path: Path, spec: str | None = None) -> Answer:
    """Build the model anew, by the code that `spec` names, and ask it by torch."""
    model, card = load_weights(path, spec=spec)
    return answer_of(model, card.mean, card.std)


FORMAT = Format(write, load, builds=True)
