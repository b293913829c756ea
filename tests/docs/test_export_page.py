"""docs/export.md is what its records say, names every format, and tells the two ratios as they came out."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import Mnist
from tinydigits import export, pretrained

FILE = Path(__file__).parents[2] / "benchmarks" / "exports.py"


@pytest.fixture(scope="module")
def exports() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmarks.exports", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rows(exports: ModuleType) -> dict[str, Any]:
    return exports.read_rows()


def test_the_page_is_made_from_the_records(exports: ModuleType, rows: dict[str, Any]) -> None:
    text = exports.PAGE.read_text(encoding="utf-8")
    converted = exports.read_rows(exports.CONVERTERS_FILE)
    assert text == exports.page(rows, converted), "python -m benchmarks.exports page"
    assert converted and set(rows) | set(converted) <= set(pretrained.names())


def test_a_measurement_adds_a_row_and_keeps_the_others(
    exports: ModuleType, rows: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mnist: Mnist
) -> None:
    every = export.formats()
    monkeypatch.setattr(exports.export, "formats", lambda trained=None: ["safetensors"] if trained else every)
    old, *_, new = rows
    file = tmp_path / "exports.json"
    file.write_text(json.dumps({"models": {old: rows[old]}}), encoding="utf-8")
    assert new in exports.unmeasured(exports.read_rows(file)) and old not in exports.unmeasured(exports.read_rows(file))
    exports.measure([new], 1, file)
    found = exports.read_rows(file)
    assert found[old] == rows[old] and found[new]["formats"]["safetensors"]["holds"]
    assert new not in exports.unmeasured(found), "a row of these weights is not measured again"
    found[new]["weights_sha256"] = "others"
    assert new in exports.unmeasured(found)
    assert f"### {new}: {found[new]['num_parameters']:,} parameters" in exports.page(found, {})


@pytest.mark.parametrize("name", export.formats())
def test_every_format_is_documented(exports: ModuleType, name: str) -> None:
    assert f"| `{name}` | {export.summary(name)} |" in exports.PAGE.read_text(encoding="utf-8")


def test_a_ratio_that_is_missed_is_told(exports: ModuleType, rows: dict[str, Any]) -> None:
    (name, *_) = rows
    formats = rows[name]["formats"]
    formats["safetensors"]["p50_us"], formats["onnx"]["p50_us"], formats["c"]["p50_us"] = [300.0], [100.0], [100.0]
    assert (
        "0.33 of torch eager's time for one image (at most a third); the C header 1.00 of onnxruntime's (not slower)"
        in (exports.page(rows, {}))
    )
    missed = copy.deepcopy(rows)
    missed[name]["formats"]["onnx"]["p50_us"] = [101.0]
    assert "(more than a third); the C header 0.99 of onnxruntime's (not slower)" in exports.page(missed, {})
    missed[name]["formats"]["c"]["p50_us"] = [202.0]
    assert "the C header 2.00 of onnxruntime's (slower)" in exports.page(missed, {})


def test_a_file_that_was_deleted_is_told(exports: ModuleType, rows: dict[str, Any]) -> None:
    (name, *_) = rows
    row = rows[name]["formats"]["onnx-int8"]
    row["holds"] = False
    for key in ("p50_us", "images_per_second"):
        row.pop(key, None)
    assert "| `onnx-int8` | deleted |" in exports.page(rows, {})
    rows[name]["formats"]["html"] = {"problem": "the page cannot do it"}
    assert "| `html` | not made | the page cannot do it |" in exports.page(rows, {})
