"""The records: a row of the verifier for every planned seed, none trained twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import records
from benchmarks.__main__ import main
from tinydigits import recipe
from tinydigits.recipe import to_toml
from tinydigits.run import Run, create
from tinydigits.training import train


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(recipe.load("digits", ["epochs=1"]), out=tmp_path_factory.mktemp("runs"), threads=1)


def plan(folder: Path, **changes: object) -> str:
    entry = {"recipe": "digits", "seeds": 5, "accuracy": 0.5, "parameters": 9_274, **changes}
    path = folder / "plan.toml"
    path.write_text("\n".join(["[[record]]", *(f"{key} = {json.dumps(value)}" for key, value in entry.items())]))
    return str(path)


def record(folder: Path, planned: str) -> int:
    arguments = ["--plan", planned, "--rows", str(folder / "rows"), "--out", str(folder / "runs"), "--threads", "1"]
    return main(["records", "measure", *arguments])


def pretend(finished: Run, out: Path, seeds: range) -> None:
    """The finished run under other seeds, with all the epochs of its recipe: the real ones would take a minute each."""
    files = {path.name: path.read_bytes() for path in finished.folder.iterdir() if path.is_file()}
    for seed in seeds:
        chosen = recipe.load("digits", [f"seed={seed}"])
        run = create(out, chosen.name, seed, {**files, "recipe.toml": to_toml(chosen)})
        tree = chosen.model_dump(mode="json", exclude_none=True)
        run.write_record(run.record.model_copy(update={"recipe": tree}))


def test_a_record_has_a_row_of_the_verifier_for_every_planned_seed(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(finished, tmp_path / "runs", range(5))
    assert record(tmp_path, plan(tmp_path)) == 0
    rows = sorted((tmp_path / "rows").glob("*.json"))
    assert [path.name for path in rows] == [f"digits_s{seed}.json" for seed in range(5)]
    assert {json.loads(path.read_text())["verdict"]["data"][0]["split"] for path in rows} == {"test"}
    first = capsys.readouterr().out
    assert first.count("of 596") == 5 and "n = 5 of test images" in first
    before = [path.stat().st_mtime_ns for path in rows]
    assert record(tmp_path, plan(tmp_path)) == 0
    assert [path.stat().st_mtime_ns for path in rows] == before and "of 596" not in capsys.readouterr().out


def test_a_record_that_is_too_large_is_refused(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(finished, tmp_path / "runs", range(1))
    assert record(tmp_path, plan(tmp_path, parameters=9_273)) == 2
    assert "got 9274, expected at most 9273" in capsys.readouterr().err
    assert not (tmp_path / "rows").exists()


@pytest.mark.parametrize("change", [{"seeds": 4}, {"accuracy": 99.3}, {"colour": "red"}])
def test_a_plan_that_cannot_be_followed_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    assert record(tmp_path, plan(tmp_path, **change)) == 2


def test_the_plan_of_the_records_can_be_followed() -> None:
    assert all(planned.recipe in recipe.names() for planned in records.load_plan())
