"""Zip archives of strangers, looked at before anything is unpacked: how large that is, and where it would go."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath

from tinydigits.errors import TinydigitsError

__all__ = ["require_honest"]


def require_honest(source: Path | bytes, where: object, *, max_bytes: int | None = None) -> None:
    """Raise TinydigitsError for an archive that is a bomb or whose paths climb out; what is no archive is left alone.

    `max_bytes` bounds what it unpacks to. Without it the archive must be one of torch, which packs text alone: what is
    in it is not much larger than the file.

    >>> require_honest(b"no archive", "here")
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # its reader says what is wrong with it
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise TinydigitsError(where, f"a path in it leads out of it: {entry.filename[:80]!r}")
    num_bytes = sum(entry.file_size for entry in entries)
    num_stored = len(source) if isinstance(source, bytes) else source.stat().st_size
    largest = 4 * num_stored + 1_000_000 if max_bytes is None else max_bytes
    if num_bytes > largest:
        raise TinydigitsError(where, "unpacks to", got=f"{num_bytes:,} bytes", expected=f"at most {largest:,}")
