"""The page of reliability shows a fault that was not held, and a measurement goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from benchmarks.reliability import Kind, Row, inject, kinds, page, read, write


def test_a_fault_that_was_not_held_shows(tmp_path: Path) -> None:
    name = next(iter(kinds()))
    assert "not measured yet" in page(tmp_path)
    write(name, [Row("a flood", 1_000, 1_000), Row("a fire", 5, 4, "too hot")], "python -m fire", tmp_path)
    text = page(tmp_path)
    assert "| 1,005 | 1,004 |" in text
    assert "| a flood | 1,000 | 1,000 |  |" in text
    assert "| a fire | 5 | **4** | too hot |" in text
    assert "`python -m fire`, on " in text


def test_what_was_stopped_goes_on_after_the_last_row(tmp_path: Path) -> None:
    injected: list[str] = []

    def faults(cases: int | None, done: Collection[str]) -> Iterator[Row]:
        for fault in ("a flood", "a fire", "a storm"):
            if fault not in done:
                injected.append(fault)
                if injected == ["a flood", "a fire"]:
                    raise KeyboardInterrupt
                yield Row(fault, 1, 1)

    kind = Kind("weather", "Weather", "", 1, faults)
    with pytest.raises(KeyboardInterrupt):
        inject(kind, None, tmp_path)
    assert read("weather", tmp_path) == ([], {}), "no page is made of half of it"
    assert [row.fault for row in inject(kind, None, tmp_path)] == ["a flood", "a fire", "a storm"]
    assert injected == ["a flood", "a fire", "a fire", "a storm"]
    assert len(read("weather", tmp_path)[0]) == 3
    assert len(inject(kind, None, tmp_path)) == 3 and len(injected) == 7, "what was finished begins anew"


def test_rows_of_another_question_are_not_taken(tmp_path: Path) -> None:
    def faults(cases: int | None, done: Collection[str]) -> Iterator[Row]:
        assert not done
        yield Row("a flood", cases or 9, 1)
        raise KeyboardInterrupt

    for cases in (5, None):
        with pytest.raises(KeyboardInterrupt):
            inject(Kind("weather", "Weather", "", 1, faults), cases, tmp_path)
