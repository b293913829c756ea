"""The benchmarks: pages that know what they were made of, measurements that go on, figures that are missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import runs_listing, service, sweeps, verify_speed
from benchmarks.__main__ import main, names
from benchmarks.protocol import RESULTS, Page, new_frame, read_rows
from benchmarks.provenance import stamp
from tinydigits import prediction, pretrained
from tinydigits.machine import describe_machine, describe_versions


def test_a_page_is_held_to_its_text_its_chart_and_todays_hashes(tmp_path: Path) -> None:
    source = tmp_path / "rows.json"
    source.write_text(json.dumps(stamp(weights=["sprint"])))
    frame = new_frame([0, 1], [0, 1])
    chart = frame.chart("a", "b", [frame.dot(0.5, 0.5, "first")], x_ticks=[], y_ticks=[], x_name="x")
    page = Page(tmp_path / "lab" / "page.md", "# 99.4 %\n", [source], chart)
    page.write()
    assert list(page.differences()) == []
    page.path.write_text("# 99.5 %\n")
    assert "-# 99.5 %" in list(page.differences())
    page.write()
    page.path.with_suffix(".svg").write_text(str(chart.file()).replace("<circle", "<ellipse"))
    assert any("<ellipse" in line for line in page.differences())
    page.write()
    source.write_text(source.read_text().replace('"sprint": "', '"sprint": "0'))
    (line,) = page.differences()
    assert line.startswith("rows.json: weights sprint: measured on 0")


def test_every_benchmark_is_called_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"growth", "pictures", "reliability", "results_page"} <= set(names())
    for name in names():
        assert main([name]) == 0
        assert f"Usage: python -m benchmarks {name} " in capsys.readouterr().out
    assert main(["results_page", "check"]) == 0
    assert main(["growht", "measure"]) == 2 and "got growht" in capsys.readouterr().err
    assert main(["collect", "reference"]) == 2 and "RUN" in capsys.readouterr().err


def test_a_listing_has_every_run() -> None:
    rows = runs_listing.time_listings(sizes=(10, 20), repeats=1)
    assert [(row["runs"], row["command"]) for row in rows] == [
        (size, command) for size in (10, 20) for command in runs_listing.COMMANDS_TIMED
    ]
    assert all(row["wall"] > 0 and row["processor"] > 0 for row in rows)


def test_a_verdicts_time_is_in_units_of_importing_torch() -> None:
    seconds = {"import torch": [1, 2, 9], "structure and behaviour": [5, 4, 6], "full verdict": [10, 12, 11]}
    timed = {name: [{"wall": wall, "processor": wall / 2} for wall in found] for name, found in seconds.items()}
    where = {"machine": describe_machine(), "versions": describe_versions()}
    rows = {"measured_at": "2026-11-21", "measured_on": {}, "processes": timed, **where}
    assert verify_speed.ratios(rows, "wall") == {"structure and behaviour": 2.5, "full verdict": 5.5}
    row = "| structure and behaviour | 5.00 (4.00–6.00) | 2.50 | under 3 | 2.50 (2.00–3.00) |"
    assert row in verify_speed.page(rows)


def test_a_small_measurement_of_sweeps_goes_on_where_it_was_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file, measured = tmp_path / "rows.json", sweeps.trials_a_minute

    def stopped(num_trials: int, epochs: int = 1) -> dict[str, float]:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeps, "trials_a_minute", stopped)
    with pytest.raises(KeyboardInterrupt):
        sweeps.measure(trials=2, epochs=1, rounds=1, file=file)
    monkeypatch.setattr(sweeps, "trials_a_minute", measured)
    monkeypatch.setattr(sweeps, "overhead", stopped)
    sweeps.measure(trials=2, epochs=1, rounds=1, file=file)
    rows = read_rows(file)
    assert [set(row) for row in rows["overhead"]] == [{"plain", "worker"}]
    assert [set(row) for row in rows["trials_a_minute"]] == [{"1", "2", "cores_of_others"}]
    assert all(value > 0 for row in rows["overhead"] for value in row.values())
    sweeps.measure(trials=2, epochs=1, rounds=1, file=file)
    assert read_rows(file) == rows


def test_a_missed_figure_of_the_service_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[str, Any] = read_rows(service.FILE)
    rows["busy"] |= {"requests_a_second": 1_999.0, "p99_ms": 20 * rows["alone_p50_ms"], "errors": 1}
    rows["memory"]["last_bytes"] = 2 * rows["memory"]["first_bytes"]
    rows["start"]["predict"] = [0.25 * seconds for seconds in rows["start"]["import_torch"]]
    monkeypatch.setattr(service, "read_rows", lambda file: rows)
    assert service.part().count("| **no** |") == len(service.figures(rows))


def test_the_default_is_the_model_that_reads_most_tuning_pictures() -> None:
    found = read_rows(RESULTS / "pictures.json")
    assert set(found["models"]) == set(pretrained.names()), "python -m benchmarks pictures compare"
    right = {name: model["sets"]["tuning"]["right"] for name, model in found["models"].items()}
    assert max(right, key=lambda name: right[name]) == found["default"] == prediction.DEFAULT
    for name, model in found["models"].items():
        assert prediction.open_model(name).unsure_below == model["unsure_below"]
