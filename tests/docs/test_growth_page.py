"""docs/growth.md is what its rows say, and time and memory grow as the images do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import growth


@pytest.fixture
def rows() -> dict[str, Any]:
    return json.loads(growth.FILE.read_text(encoding="utf-8"))


def test_the_page_and_its_picture_are_made_from_the_rows(rows: dict[str, Any]) -> None:
    assert growth.is_up_to_date(growth.page(rows)), "python -m benchmarks.growth page"
    sizes = [row["num_images"] for row in rows["trainings"]]
    assert all(sizes.count(size) == growth.REPEATS for size in growth.SIZES)


def test_time_grows_no_faster_than_the_images(rows: dict[str, Any]) -> None:
    seconds = growth.least(rows, "processor_seconds")
    assert growth.exponent(seconds) <= growth.LIMIT
    assert "holds." in growth.page(rows)


def test_the_images_are_in_memory_once_as_bytes(rows: dict[str, Any]) -> None:
    assert 0.9 < growth.bytes_per_pixel(growth.least(rows, "peak_memory_bytes")) < 1.1


def test_a_changed_row_changes_the_page(rows: dict[str, Any]) -> None:
    for row in rows["trainings"]:
        row["processor_seconds"] *= row["num_images"]
    assert "does not hold" in growth.page(rows)
