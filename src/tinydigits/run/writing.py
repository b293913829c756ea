"""Files written whole or not at all, and output to whatever a user names: a file, a link, a device, a pipe."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from pathlib import Path

from tinydigits.errors import TinydigitsError

__all__ = ["discard", "sync_folder", "write_atomic", "write_error", "write_new", "write_output"]


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file so that it is there whole, old or new, whatever happens: temporary file, fsync, rename, fsync.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomic(Path(folder) / "a.txt", "hello")
    ...     (Path(folder) / "a.txt").read_text()
    'hello'

    A link at `path` is replaced, not followed: a run's folder may be a stranger's, and its links may lead anywhere.
    Raises TinydigitsError for a full disk or a folder that cannot be written; the old file is still there then.
    """
    _replace(path, content, path, None)


def write_output(path: Path, content: str | bytes) -> None:
    """Write to a path that a user named, as a shell's `>` does; a file is there whole, old or new, all the same.

    >>> write_output(Path(os.devnull), "nothing is left of this")

    Links are followed, devices and pipes written into. A file that is replaced keeps its mode, and its owner where this
    process may give files away. Raises TinydigitsError where `path` is a folder or cannot be written.
    """
    try:
        try:
            status = path.stat()
        except FileNotFoundError:
            status = None
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise TinydigitsError(str(path), "is a folder", expected="a file", hint=str(path / "NAME"))
        target = _target(path)
        if isinstance(target, int) or not (status is None or stat.S_ISREG(status.st_mode)):
            _write_into(target if isinstance(target, int) else path, content)
            return
    except OSError as error:
        raise write_error(path, error) from error
    _replace(target, content, path, status)


def write_new(path: Path, content: str) -> None:
    """Write a file that must not exist yet; raises TinydigitsError where anything has its name, be it a dead link.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_new(Path(folder) / "mine.toml", "epochs = 1")
    """
    if os.path.lexists(path):
        raise TinydigitsError(str(path), "exists already", hint="another name")
    write_atomic(path, content)


def discard(path: Path) -> None:
    """Take away what was begun, where that is possible: on a disk that can only be read, nothing was."""
    with contextlib.suppress(OSError):
        path.unlink()


def sync_folder(folder: Path) -> None:
    """Let a rename in a folder outlive a loss of power, as the content of its files does already."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no folders, and its renames need no such thing
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_error(path: Path, error: OSError) -> TinydigitsError:
    """The error for a path that cannot be written."""
    return TinydigitsError(
        str(path), f"cannot write: {error.strerror or error}", hint="--out FOLDER, or free some space"
    )


def _bytes(content: str | bytes) -> bytes:
    return content.encode("utf-8") if isinstance(content, str) else content


def _replace(path: Path, content: str | bytes, named: Path, old: os.stat_result | None) -> None:
    """Put a file in the place of `path`, with the mode and owner of `old`; an error names the path as the user did."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with draft.open("wb") as file:
            file.write(_bytes(content))
            file.flush()
            os.fsync(file.fileno())
        if old is not None:
            if hasattr(os, "chown"):
                with contextlib.suppress(OSError):  # which only root may do for any owner
                    os.chown(draft, old.st_uid, old.st_gid)
            draft.chmod(stat.S_IMODE(old.st_mode))
        draft.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        discard(draft)
        raise write_error(named, error) from error


def _target(path: Path) -> Path | int:
    """What a path leads to through links: a path that is none, or an open descriptor of this process (/dev/stdout)."""
    descriptors = {os.path.realpath(folder) for folder in ("/dev/fd", "/proc/self/fd")}
    while True:
        if path.name.isdecimal() and os.path.realpath(path.parent) in descriptors:
            return int(path.name)
        if not path.is_symlink():
            return path
        path = path.parent / path.readlink()


def _write_into(target: Path | int, content: str | bytes) -> None:
    """Write to what is no file that could be replaced; a reader that goes away has had enough, as with `| head`."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # what was printed before comes before
    # A descriptor is shared, not opened anew: what it leads to may be a file, and others write on at its position.
    descriptor = os.dup(target) if isinstance(target, int) else os.open(target, os.O_WRONLY)
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as file:
        file.write(_bytes(content))
