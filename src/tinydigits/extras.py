"""Packages that come with an extra: imported where they are used, and named where they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tinydigits.errors import TinydigitsError
from tinydigits.origin import install_hint

__all__ = ["NotInstalled", "extra"]


class NotInstalled(TinydigitsError):
    """A package that something needs and that is not installed; the hint names the extra that brings it."""


@contextmanager
def extra(name: str, where: str) -> Iterator[None]:
    """Around imports that need the extra of this name; raises NotInstalled, which names `where`, when one fails.

    >>> with extra("serve", "serve"):
    ...     import no_such_package
    Traceback (most recent call last):
    tinydigits.extras.NotInstalled: serve: needs no_such_package
      try: pip install ...[serve]...
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or str(error)).partition(".")[0]
        raise NotInstalled(where, f"needs {package}", hint=install_hint(name)) from error
