"""Libraries that report to their makers are imported so that they do not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter

__all__ = ["telemetry_off"]

# Libraries that report to their makers: the variable that each reads when it is imported, and the function that reads
# it again, or does the same, in a process that has imported the library already.
_TELEMETRY = {
    "onnxruntime": ("ORT_DISABLE_TELEMETRY", "1", "disable_telemetry_events"),
    "mlflow": ("MLFLOW_DISABLE_TELEMETRY", "true", "telemetry.set_telemetry_client"),
}
_switched_off: set[str] = set()


@contextmanager
def telemetry_off() -> Iterator[None]:
    """Import onnxruntime or MLflow within this block, and it reports nothing to its maker.

    >>> with telemetry_off():
    ...     import onnxruntime

    A variable of theirs that the user has set decides, whatever its value. Of a library that the user imported before,
    further reports are switched off; what onnxruntime noted of the process at that import it still sends.
    """
    undecided = {name: entry for name, entry in _TELEMETRY.items() if entry[0] not in os.environ}
    added = {variable: value for variable, value, _ in undecided.values()}
    os.environ.update(added)
    try:
        for name in undecided.keys() - _switched_off:
            if sys.modules.get(name):
                attrgetter(undecided[name][2])(sys.modules[name])()
        yield
    finally:
        for variable in added:
            os.environ.pop(variable, None)
    _switched_off.update(name for name in undecided if sys.modules.get(name))
