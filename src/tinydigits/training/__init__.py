"""Training: a recipe becomes a run."""

from tinydigits.training.devices import limit_threads, pick_device
from tinydigits.training.distributed import is_first_process
from tinydigits.training.loggers import Logger, make_logger
from tinydigits.training.loop import resume, train
from tinydigits.training.reporter import Progress, Reporter, Reporters
from tinydigits.training.teachers import name_teachers

__all__ = [
    "Logger", "Progress", "Reporter", "Reporters", "is_first_process", "limit_threads", "make_logger", "name_teachers",
    "pick_device", "resume", "train",
]  # fmt: skip
