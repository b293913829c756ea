"""What a training has counted: loss, correct answers and images seen, kept once for progress, curves and history.

Shapes: B images a batch, K classes.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from tinydigits.evaluate import Evaluation
from tinydigits.training.distributed import World

__all__ = ["Ledger", "Sums"]

_BATCHES_PER_READING = 32
"""How often losses are read from the device: each reading waits for it, and a NaN is still found by its step."""
_NUM_POINTS = 200


@dataclass
class Sums:
    """Sums over some batches, divided only when they are shown.

    >>> sums = Sums()
    >>> sums.add(0.5, correct=3, seen=4); sums.loss, sums.accuracy
    (0.5, 0.75)
    """

    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0

    def add(self, loss: float, correct: int, seen: int) -> None:
        """Count one batch of `seen` images with its mean loss."""
        self.loss_sum += loss * seen
        self.correct += correct
        self.seen += seen

    @property
    def loss(self) -> float:
        return self.loss_sum / self.seen

    @property
    def accuracy(self) -> float:
        return self.correct / self.seen


@dataclass(frozen=True)
class _Batch:
    """One batch that is not read from the device yet; `share` is this process's part of its `size` images."""

    loss: Tensor
    correct: Tensor
    size: int
    share: float
    lr: float


class Ledger:
    """The figures of a training of `num_batches` batches in all.

    >>> ledger, world = Ledger(num_batches=400), World(torch.device("cpu"))
    >>> logits_BK, labels_B = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    >>> for loss in (1.0, 0.5): ledger.add(torch.tensor(loss), logits_BK, labels_B, size=2, lr=0.1)
    >>> ledger.read(world)
    [1.0, 0.5]
    >>> ledger.steps
    [{'images_seen': 4, 'loss': 0.75, 'accuracy': 0.5, 'lr': 0.1}]

    `steps` are the rows of `steps.csv`: means over equal stretches of batches, some two hundred a run, since trainings
    of one epoch are the rule and an epoch alone is a single point. Stretches are counted in batches, so that a resumed
    training has the same rows. `history` are the rows of `history.csv`, one an epoch. `epoch` are the running epoch's
    sums, `epoch_seconds` the time that its steps have taken, `lr` the last step's rate.
    """

    def __init__(self, num_batches: int) -> None:
        self.history: list[dict[str, Any]] = []
        self.steps: list[dict[str, float]] = []
        self.epoch, self.epoch_seconds = Sums(), 0.0
        self.clock, self.lr = time.perf_counter(), 0.0
        self._batches_a_row = max(1, num_batches // _NUM_POINTS)
        self._row, self._row_batches, self._images_seen = Sums(), 0, 0
        self._unread: list[_Batch] = []

    def start_clock(self) -> float:
        """Count seconds from now on; gives the time."""
        self.clock = time.perf_counter()
        return self.clock

    def add(self, loss: Tensor, logits_BK: Tensor, labels_B: Tensor, *, size: int, lr: float) -> None:
        """Note a batch of `size` images in all, of which this process has answered those of `labels_B`."""
        correct = (logits_BK.detach().argmax(dim=1) == labels_B).sum()
        self._unread.append(_Batch(loss.detach(), correct, size, len(labels_B) / size, lr))
        self.lr = lr

    @property
    def is_due(self) -> bool:
        """Whether so many batches were noted that they should be read."""
        return len(self._unread) >= _BATCHES_PER_READING

    def read(self, world: World) -> list[float]:
        """Count what was noted since the last time, over all processes; gives the loss of each batch."""
        batches, self._unread = self._unread, []
        if not batches:
            return []
        losses = world.sum(torch.stack([batch.loss for batch in batches]), [batch.share for batch in batches]).tolist()
        correct = world.sum(torch.stack([batch.correct for batch in batches])).tolist()
        for batch, loss, right in zip(batches, losses, correct, strict=True):
            self._count(loss, right, batch.size, batch.lr)
        before = self.clock
        self.epoch_seconds += self.start_clock() - before
        return list(losses)

    def _count(self, loss: float, correct: int, size: int, lr: float) -> None:
        for sums in (self.epoch, self._row):
            sums.add(loss, correct, size)
        self._row_batches += 1
        self._images_seen += size
        if self._row_batches == self._batches_a_row:
            figures = {"loss": self._row.loss, "accuracy": self._row.accuracy, "lr": lr}
            self.steps.append({"images_seen": self._images_seen} | figures)
            self._row, self._row_batches = Sums(), 0

    def close_epoch(self, epoch: int, lr: float, validation: Evaluation | None) -> dict[str, Any]:
        """Write the epoch's row of the history, and begin the next; gives the row."""
        before = self.history[-1]["images_seen"] if self.history else 0
        self.history.append({
            "epoch": epoch,
            "lr": lr,
            "train_loss": self.epoch.loss,
            "train_accuracy": self.epoch.accuracy,
            "validation_loss": validation.loss if validation else None,
            "validation_accuracy": validation.accuracy if validation else None,
            "images_seen": before + self.epoch.seen,
            "seconds": round(self.epoch_seconds, 3),
        })  # fmt: skip
        self.epoch, self.epoch_seconds = Sums(), 0.0
        return self.history[-1]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds of it; everything noted must have been read."""
        running = [self._row_batches, *asdict(self._row).values(), self._images_seen]
        return {
            "totals": asdict(self.epoch) | {"seconds": self.epoch_seconds},
            "history": self.history,
            "curve": {"rows": self.steps, "running": running},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict()` gave."""
        totals = dict(state["totals"])
        self.epoch_seconds = totals.pop("seconds")
        self.epoch, self.history, self.steps = Sums(**totals), state["history"], state["curve"]["rows"]
        self._row_batches, *row, self._images_seen = state["curve"]["running"]
        self._row = Sums(*row)
