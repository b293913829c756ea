"""The benchmark of sweeps measures what docs/sweep.md says of it, and goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import sweeps


def test_a_small_measurement_is_taken_up_where_it_was_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, measured = tmp_path / "rows.json", sweeps.trials_a_minute

    def stopped(num_trials: int, epochs: int) -> dict[str, float]:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeps, "trials_a_minute", stopped)
    with pytest.raises(KeyboardInterrupt):
        sweeps.measure(file, num_trials=2, epochs=1, rounds=1)
    monkeypatch.setattr(sweeps, "trials_a_minute", measured)
    monkeypatch.setattr(sweeps, "overhead", stopped)
    found: dict[str, Any] = sweeps.measure(file, num_trials=2, epochs=1, rounds=1)
    assert [set(row) for row in found["overhead"]] == [{"plain", "worker"}]
    assert [set(row) for row in found["trials_a_minute"]] == [{"1", "2", "cores_of_others"}]
    assert all(value > 0 for row in found["overhead"] for value in row.values())
    assert sweeps.measure(file, num_trials=2, epochs=1, rounds=1) == found
