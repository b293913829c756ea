"""A model's graph as it is computed: layers, parameters, multiply-adds and receptive field.

Structure is read from torch.export's graph of the model in train mode, not by `isinstance`: a functional batch norm is
found, a BatchNorm module that is never called, or whose output is thrown away, is not.
"""

from tinydigits.trace.exported import ExportedModel, in_batches, register
from tinydigits.trace.graph import graph_bytes, materialised, own_backward_passes
from tinydigits.trace.inventory import Contradiction, Inventory, duplicate, fingerprint, inventory, set_mode
from tinydigits.trace.layers import KINDS, Layer
from tinydigits.trace.model import Trace, trace

__all__ = [
    "KINDS", "Contradiction", "ExportedModel", "Inventory", "Layer", "Trace",
    "duplicate", "fingerprint", "graph_bytes", "in_batches", "inventory", "materialised",
    "own_backward_passes", "register", "set_mode", "trace",
]  # fmt: skip
