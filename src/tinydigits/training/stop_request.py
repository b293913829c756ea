"""Ctrl-C and SIGTERM during a training: the step under way is finished and a checkpoint written."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

__all__ = ["StopRequest", "stop_requested"]


@dataclass
class StopRequest:
    """The signal that asks a training to end, once there was one."""

    signal_number: int | None = None


@contextlib.contextmanager
def stop_requested() -> Iterator[StopRequest]:
    """The first Ctrl-C (or SIGTERM) is kept as a request; a second one stops at once, as Python does by itself.

    >>> with stop_requested() as stop: stop.signal_number is None
    True
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread alone
        return

    def request(number: int, frame: FrameType | None) -> None:
        stop.signal_number = number
        signal.signal(number, before[number])

    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
