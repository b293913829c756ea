"""Optimizers, learning-rate schedules and weight averaging, as recipes name them."""

from tinydigits.optim.averages import Average
from tinydigits.optim.optimizers import build_optimizer
from tinydigits.optim.schedules import Schedule

__all__ = ["Average", "Schedule", "build_optimizer"]
