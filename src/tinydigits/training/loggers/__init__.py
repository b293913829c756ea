"""What others' viewers show: a training's figures in their formats; one file a logger, found by folder.

A logger's file has `LOGGER`, a subclass of `Logger`, and its first docstring line says what it writes. Only local files
are written, and no logger's package is imported before it is asked for.
"""

from __future__ import annotations

from tinydigits.extras import extra
from tinydigits.plugins import Plugins
from tinydigits.training.loggers._logger import Logger

__all__ = ["Logger", "make_logger", "names"]

_LOGGERS: Plugins[type[Logger]] = Plugins(__name__, "LOGGER", where="train --log", kind="logger")
names = _LOGGERS.names


def make_logger(name: str) -> Logger:
    """A logger by its name, for one training.

    >>> make_logger("tensorbord")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: train --log: unknown logger 'tensorbord', expected one of mlflow, tensorboard
      try: tensorboard

    Raises TinydigitsError for an unknown one, and where its package is not installed.
    """
    with extra(name, f"train --log {name}"):
        return _LOGGERS.get(name)()
