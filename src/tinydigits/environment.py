"""What libraries read from the environment while they are imported, given to them for that time alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter

__all__ = ["default_variables", "telemetry_off"]

# Libraries that report to their makers: the variable that each reads when it is imported, and the function that reads
# it again, or does the same, in a process that has imported the library already.
_TELEMETRY = {
    "onnxruntime": ("ORT_DISABLE_TELEMETRY", "1", "disable_telemetry_events"),
    "mlflow": ("MLFLOW_DISABLE_TELEMETRY", "true", "telemetry.set_telemetry_client"),
}
_switched_off: set[str] = set()


@contextmanager
def default_variables(**variables: str) -> Iterator[None]:
    """Set the environment variables that are not set, and remove them again after the block.

    >>> with default_variables(PATH="nowhere", TINYDIGITS_EXAMPLE="1"):
    ...     os.environ["PATH"] == "nowhere", os.environ["TINYDIGITS_EXAMPLE"]
    (False, '1')
    >>> "TINYDIGITS_EXAMPLE" in os.environ
    False
    """
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def telemetry_off() -> Iterator[None]:
    """Import onnxruntime or MLflow within this block, and it reports nothing to its maker.

    >>> with telemetry_off():
    ...     import onnxruntime

    A variable of theirs that the user has set decides, whatever its value. Of a library that the user imported before,
    further reports are switched off; what onnxruntime noted of the process at that import it still sends.
    """
    undecided = {name: entry for name, entry in _TELEMETRY.items() if entry[0] not in os.environ}
    with default_variables(**{variable: value for variable, value, _ in undecided.values()}):
        for name in undecided.keys() - _switched_off:
            if sys.modules.get(name):
                attrgetter(undecided[name][2])(sys.modules[name])()
        yield
    _switched_off.update(name for name in undecided if sys.modules.get(name))
