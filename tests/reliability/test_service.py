"""The service under load with hostile clients: a few of each, and every answer to the others compared."""

from __future__ import annotations

from benchmarks.reliability.service import FAULTS, inject, is_the_answer, predict_says


def test_every_fault_is_held_and_every_answer_is_right() -> None:
    rows = list(inject(3))
    assert [row for row in rows if not row.is_held] == []
    assert len(rows) == len(FAULTS) + 2 and rows[0].injected > 20


def test_a_wrong_answer_would_show() -> None:
    (_, one), (_, other) = predict_says()[:2]
    assert is_the_answer([one], one) and not is_the_answer([other], one)
    moved = {**one, "probabilities": {name: value + 1e-5 for name, value in one["probabilities"].items()}}
    assert not is_the_answer([moved], one)
