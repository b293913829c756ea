"""The pages of the studies say no more than their rows do."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import studies
from tinydigits import sweep

QUESTION = studies.QUESTIONS[1]
ABOUT = {
    "measured_at": "2026-11-21", "measured_on": {}, "machine": {"processor": "P"}, "threads": 1,
    "versions": {"torch": "T"}, "trials": 20,
}  # fmt: skip


def rows(*percents: float) -> list[dict[str, Any]]:
    """Five seeds for each value of dropout, of so many per cent and a little more by seed."""
    return [
        {
            "settings": {"model.dropout": value}, "seed": seed, "split": "test", "seen": 10_000,
            "correct": round(100 * percent) + seed, "training_seconds": 1.0,
            "wrong": list(range(10_000 - round(100 * percent) - seed)),
        }
        for value, percent in zip(QUESTION.values, percents, strict=True) for seed in range(5)
    ]  # fmt: skip


def text_of(monkeypatch: pytest.MonkeyPatch, found: list[dict[str, Any]]) -> str:
    monkeypatch.setattr(studies, "load", lambda name: (dict(ABOUT), found))
    return studies.page(QUESTION)


def test_a_claim_holds_when_every_step_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(monkeypatch, rows(97.0, 97.5, 98.0, 98.5))
    assert "The claim holds at every step; from 0.25 to 0.005 accuracy rises by 1.50 points" in text
    assert "| 0.25 → 0.2 | +0.500 | +0.500 to +0.500 | 5, 0 | rises |" in text


def test_a_step_that_falls_or_is_uncertain_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows(97.0, 97.5, 97.5, 97.2)
    for row in found[10:15]:
        row["correct"] += (-1) ** row["seed"] * 40
    text = text_of(monkeypatch, found)
    assert "is not certain at every step" in text
    assert "Rises: 0.25 → 0.2. Is undecided: 0.2 → 0.1, 0.1 → 0.005." in text
    text = text_of(monkeypatch, rows(97.0, 97.5, 97.6, 97.2))
    assert "does not hold at every step" in text and "Falls: 0.1 → 0.005." in text


def test_the_page_begins_with_what_came_out_and_what_tuning_takes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(monkeypatch, rows(97.0, 97.5, 98.0, 98.5))
    assert "## In short\n\nAll else as published, from 0.25 to 0.005 accuracy rises by 1.50 points.\n" in text
    question = studies.Question(
        "q", "Dropout", QUESTION.key, QUESTION.values, (("a rate", "one"), ("a tuned rate", "two"))
    )
    found = {"one": rows(97.0, 97.5, 98.0, 98.5), "two": rows(98.5, 98.4, 98.5, 98.5)}
    for row in found["two"][:5]:
        row["correct"] += (-1) ** row["seed"]
    monkeypatch.setattr(studies, "load", lambda name: (dict(ABOUT), found[name]))
    short = studies.page(question).partition("![")[0]
    assert "With a rate, from 0.25 to 0.005 accuracy rises by 1.50 points." in short
    assert "With a tuned rate, from 0.25 to 0.005 no difference is certain (-0.002 points)." in short
    assert (
        "A tuned rate takes 1.50 points of that away (95 % interval +1.49 to +1.52, paired by seed), which is certain"
        in short
    )


def test_nothing_is_concluded_before_the_last_training(monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(monkeypatch, rows(97.0, 97.5, 98.0, 98.5)[:-1])
    assert "19 of 20 trainings are done" in text and "claim holds" not in text
    assert "Not measured yet." in text_of(monkeypatch, [])


def test_the_tuned_rates_are_the_best_of_the_validation_images() -> None:
    rates = [
        {"settings": {"data.batch_size": size, "optimizer.lr": rate}, "split": "validation", "seen": 100,
         "correct": 90 + (rate == best) + seed}
        for size, best in ((128, 0.02), (100, 0.01), (50, 0.005), (10, 0.0025))
        for rate in (0.0025, 0.005, 0.01, 0.02) for seed in range(2)
    ]  # fmt: skip
    found = studies.tuned(rates)
    chosen = {point.settings["data.batch_size"]: point.settings["optimizer.lr"] for point in found.grid()}
    assert chosen == {128: 0.02, 100: 0.01, 50: 0.005, 10: 0.0025}
    assert found.verify and found.seeds == sweep.load("two-conv-batch-size").seeds
    with pytest.raises(AssertionError):
        studies.tuned([rates[0] | {"split": "test"}])
