"""The page on listing runs is the one that its rows give, and the benchmark measures what it says."""

from __future__ import annotations

import json

from PIL import Image

from benchmarks import runs_listing


def test_the_page_is_made_of_its_rows() -> None:
    result = json.loads(runs_listing.FILE.read_text(encoding="utf-8"))
    assert runs_listing.PAGE.read_text(encoding="utf-8") == runs_listing.page(result)
    with Image.open(runs_listing.PICTURE) as picture:
        assert picture.info["Description"] == runs_listing.page(result), "python -m benchmarks.runs_listing page"


def test_a_small_measurement_lists_every_run() -> None:
    rows = runs_listing.measure(sizes=(10, 20), repeats=1)["rows"]
    assert [(row["runs"], row["command"]) for row in rows] == [
        (size, command) for size in (10, 20) for command in runs_listing.COMMANDS
    ]
