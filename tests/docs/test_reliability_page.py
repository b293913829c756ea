"""docs/reliability.md is what its rows say, and a fault that was not held shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.reliability import RESULTS, Row, kinds, read, write
from benchmarks.reliability.page import PAGE, page


def test_the_page_is_made_from_the_rows() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m benchmarks.reliability page"
    assert {path.stem for path in RESULTS.glob("*.json")} <= set(kinds())


@pytest.mark.parametrize("name", kinds())
def test_all_that_was_injected_was_held(name: str) -> None:
    rows, _ = read(name)
    assert [row for row in rows if not row.is_held] == []


def test_a_fault_that_was_not_held_shows(tmp_path: Path) -> None:
    name = next(iter(kinds()))
    assert "not measured yet" in page(tmp_path)
    write(name, [Row("a flood", 1_000, 1_000), Row("a fire", 5, 4, "too hot")], "python -m fire", tmp_path)
    text = page(tmp_path)
    assert "| 1,005 | 1,004 |" in text
    assert "| a flood | 1,000 | 1,000 |  |" in text
    assert "| a fire | 5 | **4** | too hot |" in text
    assert "`python -m fire`, on " in text
