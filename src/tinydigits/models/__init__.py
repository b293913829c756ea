"""Models: one file an architecture, found by folder; also a user's own class by `file.py:Class`.

Importing this room does not import torch; building a model does.
"""

from tinydigits.models.registry import build, module_file, names, summary
from tinydigits.models.weights import WeightsCard, load_weights, read_card, save_weights, weights_bytes

__all__ = [
    "WeightsCard", "build", "load_weights", "module_file", "names", "read_card", "save_weights", "summary",
    "weights_bytes",
]  # fmt: skip
