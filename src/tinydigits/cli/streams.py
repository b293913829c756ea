"""Standard streams as a command finds them: closed, full, read by somebody who goes away, of no width."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinydigits.errors import TinydigitsError

__all__ = ["usable_streams"]

_NARROWEST = 20
"""Columns below which tables would lose what they show."""


@contextmanager
def usable_streams() -> Iterator[None]:
    """Standard streams that any command can use, for the length of a block.

    Standard input and standard error that are closed become empty ones. Who stops reading, as `| head` does, gets no
    more, and the command goes on: a verdict's exit code stays what it is, and its files are written. Raises
    TinydigitsError where standard output is closed, and at the end of the block where something could not be written
    to it for another reason, such as a full disk. Streams that somebody has put in place of Python's own are left
    alone.
    """
    for name, mode in (("stdin", "r"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 (open to the end)
    if sys.stdout is None:
        raise TinydigitsError("standard output", "is closed", hint=">/dev/null, where nobody wants to read it")
    outputs = {}
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            outputs[name] = _Output(stream.fileno())
            setattr(sys, name, _text_stream(stream, outputs[name]))
    answer = sys.stdout
    columns = os.environ.get("COLUMNS", "")
    if columns and not (columns.isdigit() and int(columns) >= _NARROWEST):
        del os.environ["COLUMNS"]  # nothing can be shown in it: as wide as the terminal, or 80
    try:
        yield
    finally:
        answer.flush()  # Python does it at its end, and nobody can tell then what fails
        failure = outputs["stdout"].failure if "stdout" in outputs else None
        if failure is not None:
            raise TinydigitsError("standard output", f"cannot write: {failure.strerror}") from failure


def _text_stream(stream: io.TextIOWrapper, output: _Output) -> io.TextIOWrapper:
    is_unbuffered = stream.write_through  # python -u
    return io.TextIOWrapper(
        output if is_unbuffered else io.BufferedWriter(output),
        encoding=stream.encoding,
        errors="backslashreplace",  # a file's name may be what no terminal can show
        line_buffering=stream.line_buffering, write_through=is_unbuffered,
    )  # fmt: skip


class _Output(io.FileIO):
    """A file descriptor that is written to until that fails, and from then on takes what comes and drops it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.failure: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno != errno.EPIPE:
                self.failure = error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(memoryview(content).cast("B"))
