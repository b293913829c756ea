"""Exports of a run that was trained on a folder: asked on that folder's images, silent about where it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import APART, put_pictures, verify_and_keep
from tinydigits import exports, models, recipe
from tinydigits.cli.main import app
from tinydigits.contract import Contract
from tinydigits.data import load
from tinydigits.errors import TinydigitsError
from tinydigits.exports.onnx_int8 import calibration_images
from tinydigits.exports.trained import unsure_below
from tinydigits.run import Run
from tinydigits.training import train


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on letters, in a folder that has the name of a known set."""
    folder = put_pictures(tmp_path_factory.mktemp("own") / "digits")
    settings = [f'data.source="{folder}"', "data.batch_size=10", "epochs=30"]
    return train(recipe.load("two-conv", settings), out=folder.parent / "runs", device="cpu", threads=1)


@pytest.mark.parametrize("name", [name for name in exports.formats() if name not in APART])
def test_a_file_is_asked_the_runs_own_images_and_does_not_tell_where_they_lie(
    letters: Run, tmp_path: Path, name: str
) -> None:
    contract = Contract(name="open", accuracy={"min": 0.001, "source": letters.record.source})
    verify_and_keep(letters.folder, contract)
    done = exports.export(exports.of_run(letters), name, tmp_path)
    if done.parity is not None:
        assert done.parity.seen == 60 and f" of 60 digits ({letters.record.source}) test images" in str(done.parity)
    folder = Path(letters.record.source)
    assert str(folder.parent).encode() not in done.path.read_bytes()
    assert str(folder.parent).encode() not in letters.file("weights.safetensors").read_bytes()
    if name == "card":
        text = done.path.read_text(encoding="utf-8")
        assert "datasets:" not in text and "licence of the data: not known here" in text and "CC BY" not in text
        assert "its maker's own images (`./digits`)" in text and "of ./digits test |" in text
        assert '"type": "imagefolder"' in text


def test_what_is_measured_on_training_images_is_measured_on_the_runs_own(letters: Run) -> None:
    trained = exports.of_run(letters)
    images_NHW = load(letters.record.source, "train").images_NHW
    asked_NHW = calibration_images(trained)
    assert len(asked_NHW) == 192 and all((image == images_NHW).all(axis=(1, 2)).any() for image in asked_NHW)
    sure = trained.answer(images_NHW).max(axis=1)
    assert (sure >= unsure_below(trained)).mean() == pytest.approx(0.99, abs=0.006)
    card = models.read_card(letters.file("weights.safetensors"))
    assert (card.source, card.data_sha256) == ("./digits", letters.record.data_sha256)


def test_nothing_is_exported_by_other_images_and_moved_ones_are_named(letters: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(letters.folder, tmp_path / "run")))
    moved = shutil.copytree(letters.record.source, tmp_path / "moved")
    run.write_record(run.record.model_copy(update={"source": str(tmp_path / "gone")}))

    def typed(*words: str | Path) -> None:
        done = CliRunner().invoke(app, ["export", str(run.folder), *map(str, words), "--to", str(tmp_path / "to")])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output

    typed("onnx", "onnx-int8", "--data", moved)
    for path in (tmp_path / "to").iterdir():
        path.unlink()
    (moved / "train" / "A" / "0.png").unlink()
    for name in ("onnx", "onnx-int8", "pth", "c-int8"):
        with pytest.raises(TinydigitsError, match=r"data gone \(.*is not there, expected training images of SHA-256"):
            typed(name)
        with pytest.raises(TinydigitsError, match=r"data moved \(.*has other training images than before"):
            typed(name, "--data", moved)
    assert not list((tmp_path / "to").iterdir())
