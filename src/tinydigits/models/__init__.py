"""Models: one file an architecture, found by folder; also a user's own class by `file.py:Class`.

Importing this room does not import torch; building a model does.
"""

from tinydigits.models.allowed import Code, allow, choose_code, code_sha256, in_memory, source_files
from tinydigits.models.registry import build, find, find_function, hold, module_file, names, summary
from tinydigits.models.weights import (
    CARD_KEY,
    WeightsCard,
    build_with_weights,
    card_in,
    fit_weights,
    load_weights,
    open_weights,
    read_card,
    read_weights,
    weights_and_code,
    weights_bytes,
    with_plain_weights,
)

__all__ = [
    "CARD_KEY", "Code", "WeightsCard", "allow", "build", "build_with_weights", "card_in", "choose_code", "code_sha256",
    "find", "find_function", "fit_weights", "hold", "in_memory", "load_weights", "module_file", "names", "open_weights",
    "read_card", "read_weights", "source_files", "summary", "weights_and_code", "weights_bytes", "with_plain_weights",
]  # fmt: skip
