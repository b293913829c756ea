"""Libraries that print what nobody asked for: on standard error, also from below Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["quiet_stderr"]


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drop what this process writes to standard error meanwhile, Python and C alike; exceptions pass.

    It holds for all threads, so it is for short calls of a command line, not for a service.

    >>> with quiet_stderr():
    ...     written = os.write(2, b"a library's word")
    """
    sys.stderr.flush()
    saved_stderr = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved_stderr, 2)
        os.close(saved_stderr)
