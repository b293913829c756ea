"""The page of time to accuracy counts as it says, and the measuring is taken up again where it stopped."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from benchmarks import time_to_accuracy as bench
from benchmarks.protocol import read_rows
from benchmarks.time_to_accuracy import page

FAST, SLOW = bench.RACES


def line(contender: str, seed: int, training: list[float], correct: list[int]) -> dict[str, Any]:
    return {
        "contender": contender, "seed": seed, "training": training, "correct": correct, "seen": 10_000,
        "process": [seconds + 4 for seconds in training], "images_seen": 60_000, "recipe": {"epochs": 1},
    }  # fmt: skip


LIMITS = {
    "measured_at": "2026-11-21", "measured_on": {}, "contender": "machine", "seed": 0, "threads": 2,
    "multiply_adds_per_second": {"fp32": 1e11, "bf16": 2e11},
    "bytes_per_second": 1e10, "machine": {"processor": "P", "num_cores": 2}, "versions": {"torch": "T", "python": "3"},
    "recipes": {
        FAST.recipe: {
            "num_parameters": 5, "multiply_adds": 10**6, "activations": 10_000, "precision": "bf16",
            "profile": {"mm": 0.5, "add": 0.1},
        },
    },
}  # fmt: skip
LINES = [
    LIMITS,
    *(line(FAST.recipe, seed, [2.0], [9_905 + seed]) for seed in range(3)),
    line(FAST.plain, 0, [50.0, 100.0, 150.0], [9_850, 9_895, 9_910]),
    line(FAST.plain, 1, [50.0, 100.0, 150.0], [9_850, 9_903, 9_900]),
]


def test_the_example_is_counted_at_the_first_epoch_whose_mean_reaches_the_accuracy() -> None:
    text = page(LINES)
    assert "| pytorch-example | 2 | 3 | 99.050 ± 0.071 | 150.00 ± 0.00 | 154.00 ± 0.00 |" in text
    assert "75× less training time than pytorch-example, 26× from process start" in text
    assert "To 99.4 %: not measured yet." in text


def test_the_floor_is_arithmetic_or_traffic_whichever_is_more() -> None:
    # 3 · 10⁶ · 60,000 multiply-adds at 2·10¹¹ are 0.9 s; 4 · 2 bytes · 10,000 · 60,000 at 10¹⁰ are 0.48 s.
    assert "| `dash-99` | 5 | 1,000,000 | 60,000 | 1.80 | 0.90 | 0.48 | 2.00 | 2.2× |" in page(LINES)


def test_a_recipe_below_the_accuracy_has_no_time() -> None:
    below = [line(FAST.recipe, seed, [2.0], [9_890]) if row["contender"] == FAST.recipe else row
             for seed, row in enumerate(LINES)]  # fmt: skip
    assert "`dash-99` reaches 98.900 %, so it has no time" in page(below)


def test_a_mean_that_is_the_accuracy_reaches_it() -> None:
    counts = (9_896, 9_900, 9_904)
    assert fmean(count / 10_000 for count in counts) < 0.99, "the float is a hair below: the case in question"
    ours = [line(FAST.recipe, seed, [2.0], [count]) for seed, count in enumerate(counts)]
    plain = [line(FAST.plain, seed, [50.0, 100.0], [count, 9_950]) for seed, count in enumerate(counts)]
    assert "To 99.0 %: 25× less training time than pytorch-example" in page([LIMITS, *ours, *plain])
    # In the last of its epochs the plain way is as good as asked, and in no earlier one.
    late = [line(FAST.plain, seed, [50.0, 100.0], [9_850, count]) for seed, count in enumerate(counts)]
    assert "To 99.0 %: 50× less training time than pytorch-example" in page([LIMITS, *ours, *late])


def test_measuring_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, int]] = []

    def run(kind: str) -> Any:
        def measured(race: bench.Race, seed: int, threads: int) -> dict[str, Any]:
            if len(done) == 5:
                raise KeyboardInterrupt
            done.append((getattr(race, kind), seed))
            return {"training": [1.0], "correct": [9_900], "seen": 10_000, "process": [2.0]}

        return measured

    monkeypatch.setattr(bench, "_describe_limits", lambda threads: {})
    monkeypatch.setattr(bench, "_run_plain", run("plain"))
    monkeypatch.setattr(bench, "_run_recipe", run("recipe"))
    file = tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        bench.measure(1, file)
    assert done == [(FAST.plain, 0), (FAST.recipe, 0), (SLOW.plain, 0), (SLOW.recipe, 0), (FAST.recipe, 1)]
    done.append(("", -1))  # past the stop
    bench.measure(1, file)
    rows = [(row["contender"], row["seed"]) for row in read_rows(file)]
    assert len(rows) == len(set(rows)) == 1 + 2 * (bench.SEEDS + bench.PLAIN_SEEDS)
    bench.measure(1, file)
    assert len(read_rows(file)) == len(rows)
