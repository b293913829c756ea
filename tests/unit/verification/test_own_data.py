"""A run that was trained on a folder: which images it is asked, and what a verdict says of other ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.conftest import put_pictures, verify_and_keep
from tinydigits import data, models, recipe
from tinydigits.cli.main import app
from tinydigits.contract import Contract
from tinydigits.errors import TinydigitsError
from tinydigits.report import write_run_report
from tinydigits.run import Run
from tinydigits.training import train
from tinydigits.verdict import Finding, Verdict
from tinydigits.verification import Request, Retraining, verify

OPEN = Contract(name="open", accuracy={"min": 0.1})
OF_DIGITS = Contract(name="of digits", accuracy={"min": 0.1, "source": "digits", "bound": "point"})


def train_on(folder: Path, out: Path, contract: str = "", model: str = "two-conv") -> Run:
    settings = [f'model={{name="{model}"}}', f'data.source="{folder}"', "data.batch_size=10", "epochs=1"]
    settings += [f'contract="{contract}"'] if contract else []
    return train(recipe.load("two-conv", settings), out=out, device="cpu", threads=1)


@pytest.fixture
def letters(tmp_path: Path) -> Run:
    """A run on letters, in a folder that has the name of a known set."""
    return train_on(put_pictures(tmp_path / "digits"), tmp_path / "runs")


def accuracy(verdict: Verdict) -> Finding:
    return next(finding for finding in verdict.findings if finding.check == "accuracy")


def test_the_command_that_train_prints_measures_the_runs_own_test_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put_pictures(Path("digits"))
    words = "train two-conv -d ./digits --epochs 1 --set data.batch_size=10 --threads 1 --device cpu"
    trained = CliRunner().invoke(app, words.split(), env={"COLUMNS": "300"})
    label = f"digits ({tmp_path / 'digits'})"
    assert trained.exit_code == 0 and f" on {label} (200 images)" in trained.output
    command = trained.output.splitlines()[-1].removeprefix("next: tinydigits ")
    judged = CliRunner().invoke(app, [*command.split(), "--threads", "1", "--markdown", "verdict.md"])
    (row,) = (line for line in Path("verdict.md").read_text("utf-8").splitlines() if line.startswith("| accuracy |"))
    assert " of 60) " in row and f"at least 95.00 % of {label} test" in row, "two-conv's contract, which names mnist"
    assert 'against "two-conv on ./digits": ' in judged.output
    page = (tmp_path / "runs/latest/report.md").read_text(encoding="utf-8")
    assert f"of the 60 {label} test images right" in page and "mnist" not in page


def test_a_contract_that_comes_with_the_recipe_asks_for_as_many_classes_as_the_run_has(tmp_path: Path) -> None:
    model = tmp_path / "net.py"
    model.write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 3))\n"
    )
    models.allow(f"{model}:Net")
    run = train_on(put_pictures(tmp_path / "three", "ABC"), tmp_path / "runs", "two-conv", f"{model}:Net")
    own, named = verify(Request(target=run.folder)), verify(Request(target=run.folder, contract="two-conv"))
    assert [found.status for found in own.findings if found.check == "shapes.output"] == ["pass"]
    assert accuracy(own).details["seen"] == 60 and own.contract.name == "two-conv on ./three"
    assert [found.status for found in named.findings if found.check == "shapes.output"] == ["fail"]
    assert accuracy(named).status == "not run" and named.contract.name == "two-conv"


def test_a_set_of_other_classes_is_not_asked_and_both_lists_are_shown(letters: Run) -> None:
    for verdict in (
        verify(Request(target=letters.folder, contract=OF_DIGITS)),
        verify(Request(target=letters.folder, contract=OPEN, data="digits")),
    ):
        finding = accuracy(verdict)
        assert (finding.status, finding.measured, verdict.exit_code) == ("not run", "", 1)
        assert "got 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, expected A, B, C, D, E, F, G, H, I, J" in finding.why
        assert "%" not in finding.why and letters.record.source in finding.advice


def test_another_set_of_the_same_classes_is_named_and_is_not_taken_for_the_runs_own(tmp_path: Path) -> None:
    run = train_on(put_pictures(tmp_path / "mine", "0123456789"), tmp_path / "runs")
    verdict = verify_and_keep(run.folder, OF_DIGITS)
    finding, label = accuracy(verdict), f"mine ({tmp_path / 'mine'})"
    assert finding.details["seen"] == 596 and finding.limit == "at least 10.00 % of digits test"
    assert finding.why.endswith(f"; trained on another data set, {label}")
    assert run.verdict == verdict and verdict.test_counts is None, "the column `test` is of the run's own data"
    assert f"It was trained on {label}." in write_run_report(run).read_text(encoding="utf-8")
    # Of several sets the first is kept: the one that `accuracy` asks.
    group = {"min": 0.001, "shifted": {"min": 0.001, "source": "digits"}}
    verdict = verify_and_keep(run.folder, Contract(name="both", accuracy=group))
    assert [data.num_images for data in verdict.data] == [60, 596]
    with np.load(run.file("predictions.npz")) as kept:
        assert len(kept["labels"]) == 60
    assert run.verdict == verdict and verdict.test_counts == (accuracy(verdict).details["correct"], 60)
    assert "of the 60 mine" in write_run_report(run).read_text(encoding="utf-8")


def test_a_recipes_own_contract_file_is_asked_as_it_stands(tmp_path: Path) -> None:
    """Who writes a contract that names a set means that set, whatever the recipe was trained on."""
    (tmp_path / "mine.toml").write_text('[accuracy]\nsource = "digits"\nmin = 0.1\n')
    run = train_on(put_pictures(tmp_path / "pictures", "0123456789"), tmp_path / "runs", f"{tmp_path}/mine.toml")
    assert verify(Request(target=run.folder)).data[0].source == "digits"


@pytest.mark.parametrize("open_file", [lambda run: run.file("weights.safetensors"), lambda run: run.folder / "net.pth"])
def test_weights_know_their_set_by_its_digest_wherever_it_lies(
    letters: Run, open_file: Callable[[Run], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinydigits import exports

    exports.export(exports.of_run(letters), "pth", letters.folder).path.rename(letters.folder / "net.pth")
    monkeypatch.chdir(tmp_path)
    weights = open_file(letters)
    assert accuracy(verify(Request(target=weights, contract=OPEN))).details["seen"] == 60, "./digits is here"
    moved = shutil.move(tmp_path / "digits", tmp_path / "moved")
    gone = accuracy(verify(Request(target=weights, contract=OPEN)))
    assert gone.status == "not run" and "data ./digits: is not there" in gone.why and "--data" in gone.advice
    assert "trained on another" not in accuracy(verify(Request(target=weights, contract=OPEN, data=str(moved)))).why


def test_data_that_are_gone_or_changed_are_told_and_moved_ones_are_found_by_their_digest(
    letters: Run, tmp_path: Path
) -> None:
    asked = Contract(name="asked", accuracy={"min": 0.1}, training={"no_test_images": True})

    def reasons(source: Path | None = None) -> list[str]:
        verdict = verify(Request(target=letters.folder, contract=asked, data=source and str(source)))
        return [f"{finding.status}: {finding.why}" for finding in verdict.findings]

    folder, digest = tmp_path / "digits", letters.record.data_sha256[:16]
    shutil.move(folder, tmp_path / "moved")
    for reason in reasons():
        assert reason.startswith(f"not run: data digits ({folder}): is not there, expected") and digest in reason
    assert all(not reason.startswith("not run") and "another" not in reason for reason in reasons(tmp_path / "moved"))
    shutil.move(tmp_path / "moved", folder)
    (folder / "train" / "A" / "0.png").unlink()
    got = data.load(str(folder), "train").sha256[:16]
    for reason in reasons():
        assert reason.startswith(f"not run: data digits ({folder}): has other training images") and got in reason
        assert digest in reason
    with pytest.raises(TinydigitsError, match="has other training images than before"):
        verify(Request(target=letters.folder, contract=asked, retraining=Retraining()))
    # A baseline is asked the images of the run that is compared with it, even if its own have changed since.
    newer = train_on(folder, tmp_path / "runs")
    paired = Contract(name="paired", accuracy={"baseline": {"run": str(letters.folder), "margin": 0.99}})
    finding = verify(Request(target=newer.folder, contract=paired)).findings[0]
    assert finding.status == "pass" and finding.details["seen"] == 60
