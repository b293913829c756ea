"""Training: a recipe becomes a run."""

from tinydigits.train.loop import pick_device, resume, train
from tinydigits.train.reporter import Progress, Reporter

__all__ = ["Progress", "Reporter", "pick_device", "resume", "train"]
