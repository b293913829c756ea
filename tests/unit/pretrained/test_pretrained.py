"""The trained models of the package: whole, of the recipe and seed they say, and as accurate as they say."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.collect import PRETRAINED as FOLDER
from benchmarks.collect import SEED, place
from benchmarks.rows import is_shipped
from tinydigits import data, models, pretrained, recipe
from tinydigits.cli.main import app
from tinydigits.errors import TinydigitsError
from tinydigits.evaluate import evaluate
from tinydigits.run import Run

NAMES = pretrained.names()


def test_there_are_some_and_no_architecture_has_the_same_name() -> None:
    assert NAMES and set(NAMES) <= set(recipe.names())
    assert not set(NAMES) & set(models.names())


@pytest.mark.parametrize("name", NAMES)
def test_weights_record_and_verdict_belong_together(name: str) -> None:
    found = pretrained.find(name)
    record, verdict = found.run.record, found.verdict
    assert record.status == "finished" and is_shipped(record) and record.num_validation == 0
    assert (record.recipe["name"], record.recipe["seed"], found.card.recipe) == (name, SEED, name)
    assert verdict.target.weights_sha256 == hashlib.sha256(found.weights.read_bytes()).hexdigest()
    model, card = models.load_weights(found.weights)
    assert sum(parameter.numel() for parameter in model.parameters()) == record.num_parameters
    assert sum(buffer.numel() for buffer in model.buffers()) == record.num_buffers
    assert card == found.card and (card.model, card.options) == tuple(record.recipe["model"].values())
    exported = onnx.load(found.onnx).metadata_props[0].value
    assert models.WeightsCard(**json.loads(exported)).model_dump_json() == exported, "a new export has the same bytes"


@pytest.mark.parametrize("name", NAMES)
def test_the_test_images_give_the_stated_count(name: str, mnist) -> None:
    found = pretrained.find(name)
    model, card = models.load_weights(found.weights)
    images = data.load(card.source, "test")
    shift_pixels = found.run.record.recipe["evaluation"]["shift_pixels"]
    answers = evaluate(
        model, images.images_NHW, images.labels_N, mean=card.mean, std=card.std, shift_pixels=shift_pixels
    )
    correct, seen = found.test_counts
    # One picture may lie so near two classes that another processor's rounding decides.
    assert answers.seen == seen and abs(answers.correct - correct) <= 1


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(TinydigitsError, match="unknown pretrained model 'gap-cnn-tund'"):
        pretrained.find("gap-cnn-tund")


@pytest.mark.parametrize("columns", ["70", "80", "160"])
def test_models_ls_shows_size_and_accuracy_however_wide_the_terminal(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    output = CliRunner().invoke(app, ["models", "ls"]).output
    footnote = output.partition("* the mean answer to all shifts of up to 1 px: ")[2].partition("next:")[0]
    for name in NAMES:
        found = pretrained.find(name)
        line = next(line for line in output.splitlines() if line.startswith(f"{name} ") and "%" in line)
        correct, seen = found.test_counts
        sizes = (found.run.record.num_parameters, found.run.record.num_buffers, found.weights.stat().st_size)
        assert {f"{size:,}" for size in sizes} <= set(line.split()) and f" {100 * correct / seen:.2f} %" in line
        is_shifted = found.run.record.recipe["evaluation"]["shift_pixels"] > 0
        assert (name in footnote.replace(",", " ").split()) == ("%*" in line) == is_shifted


def test_verify_asks_again_and_leaves_the_package_as_it_is(mnist, tmp_path: Path) -> None:
    def files() -> dict[Path, bytes]:
        return {
            path: path.read_bytes() for path in FOLDER.rglob("*") if "__pycache__" not in path.parts and path.is_file()
        }

    before = files()
    name = "gap-cnn-tuned"
    report = tmp_path / "verdict.json"
    result = CliRunner().invoke(app, ["verify", name, "--out", str(tmp_path), "--json", str(report)])
    assert result.exit_code == 0, result.output
    stated = pretrained.find(name).test_counts[0]
    assert f"{stated:,} of 10,000" in result.output and '"kind": "pretrained"' in report.read_text()
    assert files() == before


def test_facts_are_read_without_torch() -> None:
    code = (
        "import sys\nfrom tinydigits import pretrained\n"
        "for name in pretrained.names():\n"
        "    found = pretrained.find(name)\n    found.card, found.test_counts, found.run.record\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_a_verified_run_of_the_fixed_seed_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(Path(shutil.copytree(pretrained.find("gap-cnn-tuned").run.folder, tmp_path / "run")))
    assert main(["collect", "pretrained", str(run.folder), "--to", str(tmp_path / "room")]) == 0
    assert (tmp_path / "room/gap-cnn-tuned/weights.safetensors").read_bytes() == run.file(
        "weights.safetensors"
    ).read_bytes()
    other = run.record
    other.recipe["seed"] = 1
    run.write_record(other)
    with pytest.raises(TinydigitsError, match="seed, got 1, expected 0"):
        place(run, tmp_path / "room")
    run.write("weights.safetensors", b"others")
    assert main(["collect", "pretrained", str(run.folder), "--to", str(tmp_path / "room")]) == 2
    assert "no verdict of these weights" in capsys.readouterr().err
