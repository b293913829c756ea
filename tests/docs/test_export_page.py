"""What is measured of exported files: the rows, and the ratios of their page as they came out."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import exports as bench
from tests.conftest import Mnist
from tinydigits import exports, pretrained


@pytest.fixture
def rows() -> dict[str, Any]:
    return bench.rows_of()


def test_exact_figures_and_times_are_measured_apart(
    rows: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mnist: Mnist
) -> None:
    every = exports.formats()
    monkeypatch.setattr(bench.exports, "formats", lambda trained=None: ["safetensors"] if trained else every)
    monkeypatch.setattr(bench.shutil, "which", lambda program: program)  # no header is made here
    old, new = "summit", "dash-99"  # which is asked in a second
    file = tmp_path / "exports.json"
    file.write_text(json.dumps({"models": {old: rows[old]}}), encoding="utf-8")
    bench.measure([new], file=file)
    found = bench.rows_of(file)
    assert found[old] == rows[old] and found[new]["formats"]["safetensors"]["holds"]
    assert "Not timed yet." in bench.page({new: found[new]}, {})
    assert bench.untimed(found) == [new]
    bench.time_formats([new], repeats=1, file=file)
    timed = bench.rows_of(file)
    assert new not in bench.untimed(timed)
    bench.measure([new], file=file)
    assert bench.rows_of(file)[new]["timing"] == timed[new]["timing"], "times stay when weights are measured anew"
    page = bench.page({new: timed[new]}, {})
    assert f"## {new}: {timed[new]['num_parameters']:,} parameters" in page
    weights = bench.weights_sha256(new)
    assert f"weights `{new}` (SHA-256 {weights[:12]}…)." in page and "other weights" not in page
    timed[new]["timing"]["weights_sha256"] = "78313dcd43" + 54 * "0"
    assert "with other weights of this architecture, 78313dcd4300: 1 processes" in bench.page({new: timed[new]}, {})
    timed[new]["timing"]["measured_on"]["architectures"][new] = "another"
    assert bench.untimed(timed) == [new]


def test_the_bytes_are_those_that_the_exporters_write_today(rows: dict[str, Any], tmp_path: Path, mnist: Mnist) -> None:
    trained = exports.of_run(pretrained.find("frontier-1800").run)
    for form in ("card", "c"):
        found = exports.export(trained, form, tmp_path).num_bytes
        assert found == rows["frontier-1800"]["formats"][form]["bytes"], "python -m benchmarks exports measure"


def test_a_ratio_that_is_missed_is_told(rows: dict[str, Any]) -> None:
    name = next(name for name in rows if "timing" in rows[name])
    times = rows[name]["timing"]["formats"]
    times["safetensors"]["p50_us"], times["onnx"]["p50_us"], times["c"]["p50_us"] = [300.0], [100.0], [100.0]
    assert (
        "0.33 of torch eager's time for one image (at most a third); the C header 1.00 of onnxruntime's (not slower)"
        in (bench.page(rows, {}))
    )
    missed = copy.deepcopy(rows)
    missed[name]["timing"]["formats"]["onnx"]["p50_us"] = [101.0]
    assert "(more than a third); the C header 0.99 of onnxruntime's (not slower)" in bench.page(missed, {})
    missed[name]["timing"]["formats"]["c"]["p50_us"] = [202.0]
    assert "the C header 2.00 of onnxruntime's (slower)" in bench.page(missed, {})


def test_a_file_that_was_deleted_is_told(rows: dict[str, Any]) -> None:
    (name, *_) = rows
    row = rows[name]["formats"]["onnx-int8"]
    row["holds"] = False
    page = bench.page(rows, {})
    assert re.search(r"\| `onnx-int8` \| deleted \|.*\|  \|  \|\n", page), "and no times of a file that is not there"
    rows[name]["formats"]["html"] = {"problem": "the page cannot do it"}
    assert "| `html` | not made | the page cannot do it |" in bench.page(rows, {})
