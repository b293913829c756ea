"""Weights as safetensors whose metadata says what they belong to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tinydigits.errors import TinydigitsError
from tinydigits.models.registry import build

if TYPE_CHECKING:
    from torch import nn

__all__ = ["WeightsCard", "load_weights", "read_card", "save_weights", "weights_bytes"]

_KEY = "tinydigits"


class WeightsCard(BaseModel):
    """What a weights file says of itself: architecture, normalisation and classes.

    >>> WeightsCard(model="two-conv", source="mnist", classes=["0", "1"], mean=0.1307, std=0.3081).input_shape
    (1, 28, 28)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    options: dict[str, Any] = {}
    source: str
    classes: list[str]
    input_shape: tuple[int, int, int] = (1, 28, 28)
    mean: float
    std: float
    recipe: str = ""


def save_weights(path: str | Path, model: nn.Module, card: WeightsCard) -> None:
    """Write a model's parameters and buffers to one safetensors file with `card` in its metadata.

    >>> import tempfile
    >>> card = WeightsCard(model="two-conv", source="mnist", classes=list("0123456789"), mean=0.1307, std=0.3081)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(f"{folder}/weights.safetensors", build("two-conv"), card)
    ...     load_weights(f"{folder}/weights.safetensors")[1].source
    'mnist'

    """
    Path(path).write_bytes(weights_bytes(model, card))


def weights_bytes(model: nn.Module, card: WeightsCard) -> bytes:
    """What `save_weights` writes, for callers that write files in their own way."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    return save(state, metadata={_KEY: card.model_dump_json()})


def read_card(path: str | Path) -> WeightsCard:
    """What a weights file says of itself, read without torch.

    >>> import tempfile
    >>> card = WeightsCard(model="two-conv", source="mnist", classes=list("0123456789"), mean=0.1307, std=0.3081)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(f"{folder}/weights.safetensors", build("two-conv"), card)
    ...     read_card(f"{folder}/weights.safetensors") == card
    True

    Raises TinydigitsError when the file is no safetensors or has no card.
    """
    from safetensors import SafetensorError, safe_open

    where = str(path)
    try:
        with safe_open(where, framework="numpy") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise TinydigitsError(where, "no such weights file") from error
    except (SafetensorError, OSError) as error:
        raise TinydigitsError(where, f"not a whole safetensors file: {error}") from error
    if _KEY not in metadata:
        raise TinydigitsError(where, "has no tinydigits metadata", hint="weights written by `tinydigits train`")
    try:
        return WeightsCard(**json.loads(metadata[_KEY]))
    except (ValueError, TypeError, ValidationError) as error:
        raise TinydigitsError(where, f"damaged tinydigits metadata: {error}") from error


def load_weights(path: str | Path, *, spec: str | None = None) -> tuple[nn.Module, WeightsCard]:
    """Build the model that a weights file names and load the weights into it; gives (model in eval mode, card).

    `spec` names the class to use instead of the card's. Raises TinydigitsError when the file is no safetensors, has no
    card, or does not fit the model.
    """
    card = read_card(path)
    from safetensors.torch import load_file

    where = str(path)
    state = load_file(where)
    model = build(spec or card.model, card.options)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise TinydigitsError(where, f"does not fit model {spec or card.model}: {error}") from error
    return model.eval(), card
