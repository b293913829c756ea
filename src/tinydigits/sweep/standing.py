"""Where a study stands: its trials as plain rows, what is left, how long it may take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from tinydigits.sweep.fields import Sweep

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["Row", "Standing", "counts", "occupies", "stand"]

State = Literal["running", "finished", "pruned", "diverged"]


@dataclass(frozen=True)
class Row:
    """One trial that counts, or that runs: its place in the sweep, what was set, and what came out.

    `correct` and `seen` are of the images that `split` names; `run` is the name of the run's folder in the study.
    """

    slot: int
    state: State
    settings: dict[str, Any]
    seed: int
    value: float | None
    run: str
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """A study at one moment; `total` is None for a search that only a budget ends."""

    rows: tuple[Row, ...]
    total: int | None
    rejected: int
    spent_seconds: float
    budget_seconds: float | None

    @property
    def done(self) -> tuple[Row, ...]:
        """The trials that have ended and count, in the sweep's order."""
        return tuple(row for row in self.rows if row.state != "running")

    @property
    def best(self) -> Row | None:
        """The finished trial of the highest accuracy, the earliest of several."""
        finished = [row for row in self.rows if row.state == "finished" and row.value is not None]
        return max(finished, key=lambda row: (row.value, -row.slot), default=None)

    @property
    def num_running(self) -> int:
        return len(self.rows) - len(self.done)

    @property
    def is_closed(self) -> bool:
        """Whether no further trial starts."""
        spent = self.budget_seconds is not None and self.spent_seconds >= self.budget_seconds
        return spent or (self.total is not None and len(self.done) >= self.total)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.is_closed and (not self.num_running or len(self.done) == self.total)

    @property
    def seconds_left(self) -> float | None:
        """An estimate from the trials that have ended; None before the first."""
        limits = [] if self.budget_seconds is None else [max(0.0, self.budget_seconds - self.spent_seconds)]
        if self.total is not None and self.done:
            mean = sum(row.seconds for row in self.done) / len(self.done)
            limits.append((self.total - len(self.done)) * mean / max(1, self.num_running))
        return min(limits, default=None)


def occupies(trial: FrozenTrial) -> bool:
    """Whether a trial holds its place in the sweep: it runs, or it has ended and counts."""
    return trial.state.name == "RUNNING" or counts(trial)


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial has ended with something that counts: not lost, not stopped, not rejected before training."""
    return trial.state.name in ("COMPLETE", "PRUNED") and trial.user_attrs.get("outcome") != "rejected"


def stand(sweep: Sweep, trials: Sequence[FrozenTrial]) -> Standing:
    """What the trials of the storage come to."""
    rows: dict[int, Row] = {}
    for trial in trials:  # by number: of two that claim a place, the first has it
        slot = trial.user_attrs.get("slot")
        if slot is not None and occupies(trial) and slot not in rows:
            rows[slot] = _row(trial)
    rejected = sum(trial.user_attrs.get("outcome") == "rejected" for trial in trials)
    total = sweep.trials if sweep.search else len(sweep.grid())
    spent = _union_seconds([trial for trial in trials if occupies(trial)])
    return Standing(tuple(rows[slot] for slot in sorted(rows)), total, rejected, spent, sweep.budget_seconds)


def _row(trial: FrozenTrial) -> Row:
    attributes = trial.user_attrs
    running = not trial.state.is_finished()
    return Row(
        slot=attributes["slot"],
        state="running" if running else attributes.get("outcome", "finished"),
        settings=attributes.get("settings", {}),
        seed=attributes.get("seed", 0),
        value=None if running else trial.value,
        run=attributes.get("run", ""),
        seconds=_end(trial) - _start(trial),
        facts=attributes.get("facts", {}),
    )


def _start(trial: FrozenTrial) -> float:
    return (trial.datetime_start or datetime.now()).timestamp()


def _end(trial: FrozenTrial) -> float:
    return (trial.datetime_complete or datetime.now()).timestamp()


def _union_seconds(trials: Sequence[FrozenTrial]) -> float:
    """How long at least one trial was running: pauses between a stop and the next start cost nothing."""
    spent, reached = 0.0, 0.0
    for start, end in sorted((_start(trial), _end(trial)) for trial in trials):
        spent += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return spent
