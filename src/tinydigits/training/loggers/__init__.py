"""What others' viewers show: a training's figures in their formats; one file a logger, found by folder.

A logger's file has `LOGGER`, a subclass of `Logger`, and its first docstring line says what it writes. Only local files
are written, and no logger's package is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from tinydigits.errors import unknown_name
from tinydigits.extras import extra
from tinydigits.training.loggers._logger import Logger

__all__ = ["Logger", "make_logger", "names"]

_ROOM = Path(__file__).parent


def names() -> list[str]:
    """The loggers that there are.

    >>> names()
    ['mlflow', 'tensorboard']
    """
    return sorted(path.stem for path in _ROOM.glob("[!_]*.py"))


def make_logger(name: str) -> Logger:
    """A logger by its name, for one training.

    >>> make_logger("tensorbord")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: train --log: unknown logger 'tensorbord', expected one of mlflow, tensorboard
      try: tensorboard

    Raises TinydigitsError for an unknown one, and where its package is not installed.
    """
    if name not in names():
        raise unknown_name("train --log", name, names(), kind="logger")
    with extra(name, f"train --log {name}"):
        logger: Logger = importlib.import_module(f"{__name__}.{name}").LOGGER()
    return logger
