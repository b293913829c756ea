"""docs/speed.md is what its records say, and the engine keeps its promises in them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "speed.py"


@pytest.fixture(scope="module")
def speed() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks.speed", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_made_from_the_records(speed: ModuleType) -> None:
    rows = json.loads(speed.FILE.read_text(encoding="utf-8"))
    assert speed.PAGE.read_text(encoding="utf-8") == speed.page(rows), "python -m benchmarks.speed page"
    assert list(rows["recipes"]) == list(speed.NUM_IMAGES)


def test_a_changed_record_changes_the_page(speed: ModuleType) -> None:
    rows = json.loads(speed.FILE.read_text(encoding="utf-8"))
    before = speed.page(rows)
    rows["recipes"]["two-conv"]["seconds"]["plain"] = [1234.5] * speed.REPEATS
    assert "1234.50" in speed.page(rows) and "1234.50" not in before
