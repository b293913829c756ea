"""The training curve within epochs: means over equal stretches of batches, some two hundred points a run."""

from __future__ import annotations

from typing import Any

__all__ = ["Curve"]

_NUM_POINTS = 200


class Curve:
    """Loss, accuracy and rate of a run, a row for every stretch of batches.

    >>> curve = Curve(num_batches=400)
    >>> for loss in (1.0, 0.5): curve.add(loss, correct=3, seen=4, lr=0.1)
    >>> curve.rows
    [{'images_seen': 8, 'loss': 0.75, 'accuracy': 0.75, 'lr': 0.1}]

    One-epoch trainings are the rule here, and an epoch alone is a single point. Stretches are counted in batches, so a
    resumed training has the same rows.
    """

    def __init__(self, num_batches: int) -> None:
        self.stretch = max(1, num_batches // _NUM_POINTS)
        self.rows: list[dict[str, float]] = []
        self._batches, self._loss_sum, self._correct, self._seen, self._images_seen = 0, 0.0, 0, 0, 0

    def add(self, loss: float, correct: int, seen: int, lr: float) -> None:
        """Count one batch of `seen` images with its mean loss."""
        self._batches += 1
        self._loss_sum += loss * seen
        self._correct += correct
        self._seen += seen
        self._images_seen += seen
        if self._batches == self.stretch:
            loss, accuracy = self._loss_sum / self._seen, self._correct / self._seen
            self.rows.append({"images_seen": self._images_seen, "loss": loss, "accuracy": accuracy, "lr": lr})
            self._batches, self._loss_sum, self._correct, self._seen = 0, 0.0, 0, 0

    def state_dict(self) -> dict[str, Any]:
        """The rows and the running stretch, for a checkpoint."""
        running = [self._batches, self._loss_sum, self._correct, self._seen, self._images_seen]
        return {"rows": self.rows, "running": running}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict()` gave."""
        self.rows = state["rows"]
        self._batches, self._loss_sum, self._correct, self._seen, self._images_seen = state["running"]
