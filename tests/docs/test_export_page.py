"""What is measured of exported files: the rows, and the ratios of their page as they came out."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import exports
from tests.conftest import Mnist
from tinydigits import export, pretrained


@pytest.fixture
def rows() -> dict[str, Any]:
    return exports.rows_of()


def test_exact_figures_and_times_are_measured_apart(
    rows: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mnist: Mnist
) -> None:
    every = export.formats()
    monkeypatch.setattr(exports.export, "formats", lambda trained=None: ["safetensors"] if trained else every)
    monkeypatch.setattr(exports.shutil, "which", lambda program: program)  # no header is made here
    old, new = "summit", "dash-99"  # which is asked in a second
    file = tmp_path / "exports.json"
    file.write_text(json.dumps({"models": {old: rows[old]}}), encoding="utf-8")
    exports.measure([new], file=file)
    found = exports.rows_of(file)
    assert found[old] == rows[old] and found[new]["formats"]["safetensors"]["holds"]
    assert "Not timed yet." in exports.page({new: found[new]}, {})
    assert exports.untimed(found) == [new]
    exports.time_formats([new], repeats=1, file=file)
    timed = exports.rows_of(file)
    assert new not in exports.untimed(timed)
    exports.measure([new], file=file)
    assert exports.rows_of(file)[new]["timing"] == timed[new]["timing"], "times stay when weights are measured anew"
    page = exports.page({new: timed[new]}, {})
    assert f"## {new}: {timed[new]['num_parameters']:,} parameters" in page
    weights = exports.weights_sha256(new)
    assert f"weights `{new}` (SHA-256 {weights[:12]}…)." in page and "other weights" not in page
    timed[new]["timing"]["weights_sha256"] = "78313dcd43" + 54 * "0"
    assert "with other weights of this architecture, 78313dcd4300: 1 processes" in exports.page({new: timed[new]}, {})
    timed[new]["timing"]["measured_on"]["architectures"][new] = "another"
    assert exports.untimed(timed) == [new]


def test_the_bytes_are_those_that_the_exporters_write_today(rows: dict[str, Any], tmp_path: Path, mnist: Mnist) -> None:
    trained = export.of_run(pretrained.find("frontier-1800").run)
    for form in ("card", "c"):
        found = export.export(trained, form, tmp_path).num_bytes
        assert found == rows["frontier-1800"]["formats"][form]["bytes"], "python -m benchmarks exports measure"


def test_a_ratio_that_is_missed_is_told(rows: dict[str, Any]) -> None:
    name = next(name for name in rows if "timing" in rows[name])
    times = rows[name]["timing"]["formats"]
    times["safetensors"]["p50_us"], times["onnx"]["p50_us"], times["c"]["p50_us"] = [300.0], [100.0], [100.0]
    assert (
        "0.33 of torch eager's time for one image (at most a third); the C header 1.00 of onnxruntime's (not slower)"
        in (exports.page(rows, {}))
    )
    missed = copy.deepcopy(rows)
    missed[name]["timing"]["formats"]["onnx"]["p50_us"] = [101.0]
    assert "(more than a third); the C header 0.99 of onnxruntime's (not slower)" in exports.page(missed, {})
    missed[name]["timing"]["formats"]["c"]["p50_us"] = [202.0]
    assert "the C header 2.00 of onnxruntime's (slower)" in exports.page(missed, {})


def test_a_file_that_was_deleted_is_told(rows: dict[str, Any]) -> None:
    (name, *_) = rows
    row = rows[name]["formats"]["onnx-int8"]
    row["holds"] = False
    page = exports.page(rows, {})
    assert re.search(r"\| `onnx-int8` \| deleted \|.*\|  \|  \|\n", page), "and no times of a file that is not there"
    rows[name]["formats"]["html"] = {"problem": "the page cannot do it"}
    assert "| `html` | not made | the page cannot do it |" in exports.page(rows, {})
