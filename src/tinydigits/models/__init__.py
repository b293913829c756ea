"""Models: one file an architecture, found by folder; also a user's own class by `file.py:Class`.

Importing this room does not import torch; building a model does.
"""

from tinydigits.models.allowed import Code, allow, choose_code, code_sha256
from tinydigits.models.registry import build, find, hold, module_file, names, summary
from tinydigits.models.weights import (
    CARD_KEY,
    WeightsCard,
    card_in,
    fit_weights,
    load_weights,
    open_weights,
    read_card,
    read_weights,
    weights_bytes,
    with_plain_weights,
)

__all__ = [
    "CARD_KEY", "Code", "WeightsCard", "allow", "build", "card_in", "choose_code", "code_sha256", "find", "fit_weights",
    "hold", "load_weights", "module_file", "names", "open_weights", "read_card", "read_weights", "summary",
    "weights_bytes", "with_plain_weights",
]  # fmt: skip
