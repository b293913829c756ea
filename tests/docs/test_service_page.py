"""docs/serve.md and docs/picture.md tell their figures as they came out, also where one is missed."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tinydigits import predict, pretrained

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service() -> ModuleType:
    sys.path.append(str(ROOT))
    return importlib.import_module("benchmarks.service")


def test_a_missed_figure_of_the_service_is_told(service: ModuleType) -> None:
    found: dict[str, Any] = json.loads(service.FILE.read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    for what, aim, value, holds in service.figures(found):
        assert f"| {what} | {aim} | {value} | {'yes' if holds else '**no**'} |" in page
    found["busy"] |= {"requests_a_second": 1_999.0, "p99_ms": 20 * found["alone_p50_ms"], "errors": 1}
    found["memory"]["last_bytes"] = 2 * found["memory"]["first_bytes"]
    found["start"]["predict"] = [0.25 * seconds for seconds in found["start"]["import_torch"]]
    assert not any(holds for *_, holds in service.figures(found))
    assert all(line.startswith("FALLS SHORT") for line in service.summary(found))


def test_the_default_is_the_model_that_reads_most_tuning_pictures() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "pictures.json").read_text(encoding="utf-8"))
    assert set(found["models"]) == set(pretrained.names()), "python -m benchmarks.pictures compare"
    right = {name: model["sets"]["tuning"]["right"] for name, model in found["models"].items()}
    assert max(right, key=lambda name: right[name]) == found["default"] == predict.DEFAULT
    for name, model in found["models"].items():
        assert predict.open_model(name).unsure_below == model["unsure_below"]
