"""A model's graph as it is computed: layers, parameters, multiply-adds and receptive field.

Structure is read from torch.export's graph of the model in train mode, not by `isinstance`: a functional batch norm is
found, a BatchNorm module that is never called, or whose output is thrown away, is not.
"""

from tinydigits.trace.gradient import receptive_field_by_gradient
from tinydigits.trace.layers import KINDS, Layer, Trace, trace

__all__ = ["KINDS", "Layer", "Trace", "receptive_field_by_gradient", "trace"]
