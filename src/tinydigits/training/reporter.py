"""What a training tells while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinydigits.run import Record, Run

__all__ = ["Progress", "Reporter", "Reporters"]


@dataclass(frozen=True)
class Progress:
    """Where a training stands: epoch and batch count from 1; loss and accuracy are the epoch's so far."""

    epoch: int
    epochs: int
    batch: int
    num_batches: int
    loss: float
    accuracy: float
    lr: float
    images_per_second: float
    seconds_left: float
    step_losses: Sequence[float]


class Reporter:
    """Hears of a training's progress and says nothing; a command line or a notebook overrides what it wants to show.

    >>> Reporter().on_epoch({"epoch": 1})
    """

    def on_start(self, run: Run, record: Record) -> None:
        """The run's folder exists; the first step is next."""

    def on_progress(self, progress: Progress) -> None:
        """Some steps were made, at most a few dozen."""

    def on_epoch(self, row: Mapping[str, Any]) -> bool | None:
        """An epoch is over; `row` is its line of `history.csv`. True ends the training here."""

    def on_end(self) -> None:
        """No step will follow, whether the training finished, was stopped or failed."""

    def on_finish(self, run: Run, record: Record) -> None:
        """The run is complete."""


class Reporters(Reporter):
    """Several that hear the same, one after the other.

    >>> Reporters([Reporter(), Reporter()]).on_epoch({"epoch": 1})
    False
    """

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self.reporters = reporters

    def on_start(self, run: Run, record: Record) -> None:
        for reporter in self.reporters:
            reporter.on_start(run, record)

    def on_progress(self, progress: Progress) -> None:
        for reporter in self.reporters:
            reporter.on_progress(progress)

    def on_epoch(self, row: Mapping[str, Any]) -> bool:
        answers = [reporter.on_epoch(row) for reporter in self.reporters]  # each hears it, whatever the others say
        return any(answers)

    def on_end(self) -> None:
        for reporter in self.reporters:
            reporter.on_end()

    def on_finish(self, run: Run, record: Record) -> None:
        for reporter in self.reporters:
            reporter.on_finish(run, record)
