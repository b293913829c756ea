"""Training: a recipe becomes a run."""

from tinydigits.train.loop import resume, train
from tinydigits.train.reporter import Progress, Reporter

__all__ = ["Progress", "Reporter", "resume", "train"]
