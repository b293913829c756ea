"""docs/reliability.md is what its rows say, and a fault that was not held shows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from benchmarks.reliability import RESULTS, Kind, Row, kinds, measure, read, write
from benchmarks.reliability.page import PAGE, page
from tinydigits import recipe


def test_the_page_is_made_from_the_rows() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m benchmarks.reliability page"
    assert {path.stem for path in RESULTS.glob("*.json")} <= set(kinds())


@pytest.mark.parametrize("name", kinds())
def test_all_that_was_injected_was_held(name: str) -> None:
    rows, _ = read(name)
    assert [row for row in rows if not row.is_held] == []


def test_every_shipped_recipe_was_trained_twice() -> None:
    rows, about = read("reproducibility")
    assert set(about["measured_on"]["recipes"]) == set(recipe.names()), "another recipe: measure anew"
    assert {row.injected for row in rows} == {len(recipe.names())}


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

    def inject(cases: int | None, done: Collection[str]) -> Iterator[Row]:
        for fault in ("a flood", "a fire", "a storm"):
            if fault not in done:
                injected.append(fault)
                if injected == ["a flood", "a fire"]:
                    raise KeyboardInterrupt
                yield Row(fault, 1, 1)

    kind = Kind("weather", "Weather", "", 1, inject)
    with pytest.raises(KeyboardInterrupt):
        measure(kind, None, tmp_path)
    assert read("weather", tmp_path) == ([], {}), "no page is made of half of it"
    assert [row.fault for row in measure(kind, None, tmp_path)] == ["a flood", "a fire", "a storm"]
    assert injected == ["a flood", "a fire", "a fire", "a storm"]
    assert len(read("weather", tmp_path)[0]) == 3
    assert len(measure(kind, None, tmp_path)) == 3 and len(injected) == 7, "what was finished begins anew"


def test_rows_of_another_question_are_not_taken(tmp_path: Path) -> None:
    def inject(cases: int | None, done: Collection[str]) -> Iterator[Row]:
        assert not done
        yield Row("a flood", cases or 9, 1)
        raise KeyboardInterrupt

    for cases in (5, None):
        with pytest.raises(KeyboardInterrupt):
            measure(Kind("weather", "Weather", "", 1, inject), cases, tmp_path)
