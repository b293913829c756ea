"""What all loggers share: they pass on the tables that the run keeps, so they never know more or less than it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tinydigits.run import Record, Run
from tinydigits.training.reporter import Progress, Reporter

__all__ = ["Logger", "Point"]


@dataclass(frozen=True)
class Point:
    """One value of a curve; `step` counts the images seen, so that trainings with other batches can be compared."""

    name: str
    step: int
    value: float


class Logger(Reporter):
    """Passes a run's `history.csv` and `steps.csv` on, row by row as they appear.

    Rows appear with a checkpoint: what a killed process trained after its last one was never passed on, and the process
    that resumes it passes every row on once.
    """

    TABLES: ClassVar[Mapping[str, str]] = {"history.csv": "epoch", "steps.csv": "step"}

    def open(self, run: Run, record: Record) -> Mapping[str, int]:
        """Begin, or go on; gives the last step that is already there, for each name of a curve."""
        raise NotImplementedError

    def write(self, points: Sequence[Point]) -> None:
        """Pass points on."""
        raise NotImplementedError

    def close(self, record: Record) -> None:
        """End, with the result if there is one."""
        raise NotImplementedError

    def on_start(self, run: Run, record: Record) -> None:
        self._run = run
        self._last = dict(self.open(run, record))
        self._read: dict[str, int] = {}
        self._write_new()

    def on_progress(self, progress: Progress) -> None:
        self._write_new()

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        self._write_new()

    def on_end(self) -> None:
        self._write_new()
        self.close(self._run.record)

    def _write_new(self) -> None:
        new = [point for point in self._points() if point.step > self._last.get(point.name, 0)]
        if new:
            self.write(new)
            self._last |= {point.name: point.step for point in new}

    def _points(self) -> Iterator[Point]:
        """All points of the tables that were written since the last time."""
        for file, kind in self.TABLES.items():
            path = self._run.folder / file
            written = path.stat().st_mtime_ns if path.is_file() else None
            if written is None or self._read.get(file) == written:
                continue
            for row in self._run.table(file):
                for key, value in row.items():
                    if key not in ("epoch", "images_seen") and value is not None:
                        yield Point(f"{kind}/{key}", int(row["images_seen"] or 0), value)
            self._read[file] = written
