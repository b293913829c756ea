"""docs/results.md is what its records say, and rows get there only from finished, verified runs."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import tinydigits.recipe
from tests.conftest import verify_and_keep
from tinydigits.run import Run
from tinydigits.train import train

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"benchmarks.{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page_maker() -> ModuleType:
    return load("results_page")


@pytest.fixture(scope="module")
def collector() -> ModuleType:
    return load("collect_reference")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A shipped recipe, trained to its end on bundled data and verified; not to be written to."""
    run = train(tinydigits.recipe.load("digits", ["epochs=1"]), out=tmp_path_factory.mktemp("runs"), threads=1)
    record = run.record
    record.recipe["epochs"] = tinydigits.recipe.load("digits").epochs  # the rest would be 39 more of the same
    run.write_record(record)
    verify_and_keep(run.folder, threads=1)
    return run


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(finished.folder, tmp_path / finished.name)))


def test_page_is_what_its_records_say(page_maker: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    code = page_maker.main(["--check"])
    assert code == 0, f"docs/results.md differs from its records:\n{capsys.readouterr().out}"


def test_check_finds_a_typed_figure(
    page_maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = tmp_path / "results.md"
    typed.write_text(page_maker.PAGE.read_text(encoding="utf-8").replace("13,242", "14,410"), encoding="utf-8")
    monkeypatch.setattr(page_maker, "PAGE", typed)
    assert page_maker.main(["--check"]) == 1
    assert "14,410" in capsys.readouterr().out
    assert page_maker.main([]) == 0 and page_maker.main(["--check"]) == 0


def test_collected_row_is_the_record_and_the_verdict(collector: ModuleType, run: Run, tmp_path: Path) -> None:
    to = tmp_path / "rows"
    assert collector.main([str(run.folder), "--to", str(to)]) == 0
    row = json.loads((to / "digits_s0.json").read_text(encoding="utf-8"))
    assert row["record"] == run.record.model_dump(mode="json")
    assert row["verdict"] == json.loads(run.file("verdict.json").read_text(encoding="utf-8"))
    assert (to / "digits_s0.json").stat().st_size < 20_000


def test_row_is_not_quietly_replaced(collector: ModuleType, run: Run, tmp_path: Path) -> None:
    to = tmp_path / "rows"
    arguments = [str(run.folder), "--to", str(to)]
    assert collector.main(arguments) == collector.main(arguments) == 0
    run.write_record(run.record.model_copy(update={"steps": 1}))
    assert collector.main(arguments) == 2
    assert collector.main([*arguments, "--replace"]) == 0


@pytest.mark.parametrize("fault", ["unfinished", "unverified", "other weights", "other recipe", "no test images"])
def test_run_without_a_sound_verdict_is_refused(
    collector: ModuleType, run: Run, tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record, verdict = run.record, json.loads(run.file("verdict.json").read_text(encoding="utf-8"))
    if fault == "unfinished":
        run.write_record(record.model_copy(update={"status": "interrupted"}))
    elif fault == "unverified":
        (run.folder / "verdict.json").unlink()
    elif fault == "other weights":
        weights = run.folder / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    elif fault == "other recipe":
        run.write_record(record.model_copy(update={"recipe": {**record.recipe, "epochs": 41}}))
    else:
        run.write("verdict.json", json.dumps(verdict | {"data": []}))
    assert collector.main([str(run.folder), "--to", str(tmp_path / "rows")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "rows").exists()
