"""How the commands here end: what was stopped goes on later, and a wrong question is told without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable

from tinydigits.errors import Interrupted, TinydigitsError

__all__ = ["exit_code"]


def exit_code(work: Callable[[], int | None]) -> int:
    """What `work` gives, else 0; after Ctrl-C 130, for a question that makes no sense 2.

    >>> exit_code(lambda: None), exit_code(lambda: 1)
    (0, 1)
    """
    try:
        return work() or 0
    except Interrupted as error:
        print(f"{error}\nnext: the same command again", file=sys.stderr)
        return 130
    except TinydigitsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
