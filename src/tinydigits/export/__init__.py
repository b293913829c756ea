"""Exports: a run's model in a format that others read; one file a format, found by folder.

A format's file has one public function, `write(run, folder) -> Path`, and its first docstring line says what it is.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from tinydigits.errors import TinydigitsError, unknown_name
from tinydigits.run import Run

__all__ = ["export", "formats"]


def formats() -> list[str]:
    """The formats that there are.

    >>> formats()
    ['pth']
    """
    return sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[!_]*.py"))


def export(run: Run, name: str, folder: Path) -> Path:
    """Write a run's model in the format `name` to `folder` (made if needed); gives the file.

    Raises TinydigitsError for an unknown format, an unfinished run and a folder that cannot be written.
    """
    if name not in formats():
        raise unknown_name("export", name, formats(), kind="format")
    if run.record.status != "finished":
        raise TinydigitsError(
            f"run {run.folder}", f"is not finished but {run.record.status}",
            hint=f"tinydigits train --resume {run.folder}",
        )  # fmt: skip
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TinydigitsError(str(folder), f"cannot be made: {error.strerror}") from error
    writer = importlib.import_module(f"tinydigits.export.{name.replace('-', '_')}")
    return writer.write(run, folder)
