"""`tinydigits runs ls|show|diff|rm`, on folders as trainings leave them."""

from __future__ import annotations

import csv
import io
import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result as Answer
from scipy.stats import binomtest
from typer.testing import CliRunner

import tinydigits.recipe
from tests.conftest import HOSTILE, spoil
from tinydigits.cli.runs import app, rm
from tinydigits.errors import TinydigitsError, printable
from tinydigits.run import Record, Result, Run, create

NUM_IMAGES = 500


def ask(*arguments: object, **options: Any) -> Answer:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], **options)


def output(*arguments: object) -> str:
    answer = ask(*arguments)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def listed(out: Path, *arguments: object) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(output("ls", "--out", out, "--json", *arguments))
    return rows


def make(out: Path, recipe: str = "two-conv", seed: int = 0, wrong: tuple[int, ...] = (), **changes: Any) -> Run:
    """A finished run that answered some of its 500 validation images wrongly."""
    settings = changes.pop("settings", [])
    result = Result(
        split="validation", seen=NUM_IMAGES, correct=NUM_IMAGES - len(wrong), loss=0.1, confusion=[[NUM_IMAGES]]
    )
    facts: dict[str, Any] = {
        "status": "finished", "started_at": datetime.now().astimezone().isoformat(), "source": "mnist",
        "classes": ["0"],
        "recipe": tinydigits.recipe.load(recipe, [f"seed={seed}", *settings]).model_dump(mode="json"),
        "num_train": 1000, "num_validation": NUM_IMAGES, "data_sha256": "ab", "num_parameters": 13_242,
        "num_buffers": 0, "device": "cpu", "threads": 1, "machine": {"processor": "x", "num_cores": 2},
        "versions": {"torch": "2"}, "result": result,
    }  # fmt: skip
    record = Record(**{**facts, **changes})
    samples = io.BytesIO()
    np.savez(samples, wrong_index=np.array(wrong, np.int64))
    return create(out, recipe, seed, {"record.json": record.model_dump_json(), "samples.npz": samples.getvalue()})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Three runs, one of them in a study's folder, and a link to the latest."""
    make(tmp_path, "two-conv", 0, wrong=(1, 2, 3, 4))
    make(tmp_path, "gap-cnn", 1, wrong=(5,), num_parameters=9_274)
    make(tmp_path / "study", "two-conv", 2, wrong=(), settings=["optimizer.lr=0.2"])
    return tmp_path


def test_ls_finds_runs_also_in_a_studys_folder(out: Path) -> None:
    names = [row["run"] for row in listed(out)]
    assert len(names) == 3 and names[-1].startswith("study/")
    lines = output("ls", "--out", out).splitlines()
    assert lines[0].split()[:3] == ["run", "data", "parameters"]
    assert any(line.startswith(names[-1]) and "13,242" in line and "100.00 %" in line for line in lines)
    assert lines[-1] == f"next: tinydigits runs show {names[-1]}"
    assert output("show", names[-1], "--out", out, "--json").startswith("{")


def test_what_a_strangers_run_is_called_and_says_stays_text(out: Path) -> None:
    run = make(out, "two-conv", 3)
    spoil(run.folder)
    strange = run.folder.rename(out / f"zz{HOSTILE.replace('/', ' ')[:99]}")
    (out / "broken\x1b[2J\n::error::").mkdir()
    for arguments in (("ls", "--out", out), ("show", strange), ("diff", strange, next(out.glob("*_gap-cnn_*")))):
        answer = ask(*arguments)
        text = answer.stdout + answer.stderr
        assert answer.exit_code == 0 and "x: holds (9 pass)" in text
        assert not [letter for letter in text if letter != "\n" and printable(letter) != letter]
        assert not [line for line in text.splitlines() if line.startswith(("::", "Net against"))]


@pytest.mark.parametrize(
    ("arguments", "seeds"),
    [
        (("--sort", "accuracy"), [0, 1, 2]),
        (("--sort", "-accuracy"), [2, 1, 0]),
        (("--sort", "parameters"), [1, 0, 2]),
        (("--sort", "-data.batch_size", "--recipe", "two-conv"), [0, 2]),
        (("--where", "optimizer.lr>0.1"), [2]),
        (("--where", "parameters<10_000"), [1]),
        (("--where", "accuracy>=99.8%"), [1, 2]),
        (("--where", "accuracy >= 0.998", "--where", "data=mnist", "--recipe", "two-conv"), [2]),
        (("--where", "run~study"), [2]),
        (("--where", "model!=gap-cnn"), [0, 2]),
        (("--where", "test>0"), []),
    ],
)
def test_ls_sorts_and_filters_by_columns_and_settings(out: Path, arguments: tuple[str, ...], seeds: list[int]) -> None:
    assert [row["seed"] for row in listed(out, *arguments)] == seeds


def test_a_named_setting_is_a_column_also_of_csv(out: Path) -> None:
    text = output("ls", "--out", out, "--csv", "--where", "optimizer.lr>0")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted(float(row["optimizer.lr"]) for row in rows)[-1] == 0.2
    assert "optimizer.lr" in output("ls", "--out", out, "--sort", "optimizer.lr").splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sort", "acuracy"), "unknown column 'acuracy'.*\n  try: accuracy"),
        (("--where", "parameters<few"), "parameters is a number"),
        (("--where", "parameters"), "cannot be read"),
        (("--json", "--csv"), "not both"),
    ],
)
def test_ls_tells_what_it_cannot_read(out: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(TinydigitsError, match=message):
        ask("ls", "--out", out, *arguments, catch_exceptions=False)


def test_ls_passes_over_what_is_no_run_and_says_why(out: Path) -> None:
    for name, text in (("torn", '{"format": 1'), ("newer", '{"format": 99}'), ("foreign", "{}"), ("list", "[1]")):
        (out / name).mkdir()
        (out / name / "record.json").write_text(text, encoding="utf-8")
    for name, text in (("half", "{"), ("later", '{"format": 3}'), ("other", "[]")):
        shutil.copytree(next(out.glob("*_two-conv_s0")), out / name)
        (out / name / "verdict.json").write_text(text, encoding="utf-8")
    (out / "empty").mkdir()
    (out / ".hidden").mkdir()
    (out / "elsewhere").symlink_to("/usr")
    answer = ask("ls", "--out", out)
    assert answer.exit_code == 0
    (line,) = answer.stderr.splitlines()
    assert line.startswith("skipped 8: ") and "empty: no run in it" in line and "torn: damaged record" in line
    assert "newer: record: written by a newer version" in line and "foreign: record: damaged" in line
    assert "half: damaged verdict.json" in line and "later: verdict: written by a newer version" in line
    assert "other: verdict: damaged: expected a valid dictionary" in line
    assert len([row for row in answer.stdout.splitlines() if "finished" in row]) == 3


def test_diff_names_settings_and_results_and_tests_the_same_images(tmp_path: Path) -> None:
    first = make(tmp_path, wrong=tuple(range(5)), settings=["optimizer.lr=0.01"])
    second = make(tmp_path, wrong=tuple(range(3, 23)), settings=["optimizer.lr=0.02"])
    text = output("diff", first.name, second.name, "--out", tmp_path)
    assert "optimizer.lr" in text and "99.00 %" in text and "96.00 %" in text and "data.batch_size" not in text
    assert "both right 477, only A 18, only B 3, both wrong 2" in text
    (paired,) = json.loads(output("diff", first.name, second.name, "--out", tmp_path, "--json"))["paired"]
    assert paired["p_value"] == pytest.approx(binomtest(18, 21).pvalue)
    assert paired["interval"]["low"] > 0 and paired["difference"] == 15 / NUM_IMAGES


def test_diff_compares_no_answers_to_different_images(tmp_path: Path) -> None:
    first, second = make(tmp_path, wrong=(1,)), make(tmp_path, wrong=(2,), data_sha256="cd")
    text = output("diff", first.name, second.name, "--out", tmp_path)
    assert "McNemar" not in text and "no set of images that both were evaluated on" in text
    assert f"next: tinydigits verify {first.folder}" in text


def test_rm_asks_removes_and_moves_the_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make(tmp_path), make(tmp_path, "gap-cnn")
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "kept").write_text("", encoding="utf-8")
    (second.folder / "link").symlink_to(outside)
    with pytest.raises(TinydigitsError, match="nobody to ask"):
        ask("rm", "latest", "--out", tmp_path, catch_exceptions=False)
    for answer in ("n\n", ""):  # a terminal's end of file is no yes
        with monkeypatch.context() as terminal, pytest.raises(TinydigitsError, match="runs rm: nothing was removed"):
            terminal.setattr("sys.stdin", io.StringIO(answer))
            terminal.setattr("sys.stdin.isatty", lambda: True)
            rm(["latest"], tmp_path)
    assert second.folder.is_dir()
    assert "removed 1" in output("rm", "latest", "--out", tmp_path, "--yes")
    assert not second.folder.exists() and (outside / "kept").is_file()
    assert (tmp_path / "latest").resolve() == first.folder.resolve()
    output("rm", first.name, "--out", tmp_path, "--yes")
    assert list(tmp_path.iterdir()) == []


def test_rm_of_latest_removes_nothing_where_a_folder_is_called_that(tmp_path: Path) -> None:
    older, newest = make(tmp_path), make(tmp_path)
    (tmp_path / "latest").unlink()
    shutil.copytree(older.folder, tmp_path / "latest")
    with pytest.raises(TinydigitsError, match=f"is a folder, and the newest run is {newest.name}"):
        ask("rm", tmp_path / "latest", "--yes", catch_exceptions=False)
    assert newest.folder.is_dir() and (tmp_path / "latest").is_dir()


def test_rm_refuses_what_is_no_run_and_what_leads_out(tmp_path: Path) -> None:
    run = make(tmp_path / "other")
    inside = make(tmp_path / "runs")
    (tmp_path / "runs" / "away").symlink_to(run.folder)
    (tmp_path / "runs" / "foreign").mkdir()
    for target, message in (
        ("away", "leads out of its folder"),
        ("foreign", r"no record\.json"),
        ("../runs", r"no record\.json"),
        ("nowhere", "no such folder"),
    ):
        with pytest.raises(TinydigitsError, match=message):
            ask("rm", inside.name, target, "--out", tmp_path / "runs", "--yes", catch_exceptions=False)
    make(inside.folder / "deeper")
    with pytest.raises(TinydigitsError, match="another run inside"):
        ask("rm", inside.folder, "--yes", catch_exceptions=False)
    assert run.folder.is_dir() and inside.folder.is_dir()
