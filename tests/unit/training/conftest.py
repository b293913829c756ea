"""Quick recipes on the bundled digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tinydigits.training import Progress, Reporter


class Listener(Reporter):
    """Keeps all that a training tells."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.rows: list[Mapping[str, Any]] = []
        self.progress: list[Progress] = []
        self.ended = 0

    def on_progress(self, progress: Progress) -> None:
        self.progress.append(progress)
        self.losses += progress.step_losses

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        self.rows.append(row)

    def on_end(self) -> None:
        self.ended += 1


@pytest.fixture
def listener() -> Listener:
    return Listener()
