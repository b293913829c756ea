"""Training: a recipe becomes a run."""

from tinydigits.train.devices import limit_threads, pick_device
from tinydigits.train.distributed import is_first_process
from tinydigits.train.loggers import Logger, make_logger
from tinydigits.train.loop import resume, train
from tinydigits.train.reporter import Progress, Reporter, Reporters
from tinydigits.train.teachers import name_teachers

__all__ = [
    "Logger", "Progress", "Reporter", "Reporters", "is_first_process", "limit_threads", "make_logger", "name_teachers",
    "pick_device", "resume", "train",
]  # fmt: skip
