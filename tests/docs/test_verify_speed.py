"""The page of a verdict's speed is made from its rows, and a limit that is missed shows."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tinydigits.machine import describe_machine, describe_versions

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "verify_speed.py"


@pytest.fixture(scope="module")
def speed() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks.verify_speed", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(**seconds: list[float]) -> dict[str, Any]:
    processes = {
        name.replace("_", " "): [{"wall": wall, "processor": wall / 2} for wall in found]
        for name, found in seconds.items()
    }
    measured = {"measured_at": "2026-11-21", "measured_on": {}}
    return {**measured, "processes": processes, "machine": describe_machine(), "versions": describe_versions()}


def test_the_page_has_medians_in_units_of_importing_torch(speed: ModuleType) -> None:
    rows = rows_of(import_torch=[1, 2, 9], structure_and_behaviour=[5, 4, 6], full_verdict=[10, 12, 11])
    assert speed.ratios(rows, "wall") == {"structure and behaviour": 2.5, "full verdict": 5.5}
    assert "| structure and behaviour | 5.00 (4.00–6.00) | 2.50 | under 3 | 2.50 (2.00–3.00) |" in speed.page(rows)


def test_a_page_that_is_there_is_what_its_rows_say(speed: ModuleType) -> None:
    assert speed.FILE.exists() == speed.PAGE.exists(), "python -m benchmarks.verify_speed"
    if speed.FILE.exists():
        rows = json.loads(speed.FILE.read_text(encoding="utf-8"))
        assert speed.PAGE.read_text(encoding="utf-8") == speed.page(rows), "python -m benchmarks.verify_speed"
        assert list(rows["processes"]) == ["import torch", *speed.LIMITS]
