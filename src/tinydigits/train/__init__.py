"""Training: a recipe becomes a run."""

from tinydigits.train.distributed import is_first_process
from tinydigits.train.loop import limit_threads, pick_device, resume, train
from tinydigits.train.reporter import Progress, Reporter

__all__ = ["Progress", "Reporter", "is_first_process", "limit_threads", "pick_device", "resume", "train"]
