"""Verdicts on a real run, on fresh models, and on questions that make no sense."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.conftest import verify_and_keep
from tinydigits import data, models
from tinydigits.cli.main import app
from tinydigits.contract import Contract
from tinydigits.errors import TinydigitsError
from tinydigits.evaluate import evaluate
from tinydigits.run import Run
from tinydigits.verification import Request, verify

ACCURACY = {"source": "digits", "split": "test", "min": 0.5, "bound": "point"}


def ask(**groups: dict[str, object]) -> Contract:
    return Contract(name="asked", **groups)  # type: ignore[arg-type]


def test_accuracy_is_that_of_the_weights_on_every_test_image(run: Run) -> None:
    verdict = verify(Request(target=run.folder, contract=ask(accuracy=ACCURACY)))
    model, card = models.load_weights(run.file("weights.safetensors"))
    test = data.load("digits", "test")
    answers = evaluate(model, test.images_NHW, test.labels_N, mean=card.mean, std=card.std)
    details = verdict.findings[0].details
    assert (details["correct"], details["seen"]) == (answers.correct, len(test)) and answers.correct > 300
    assert details["low"] < answers.accuracy < details["high"]
    assert verdict.exit_code == 0 and verdict.word == "holds"


def test_no_stored_figure_is_believed(run: Run) -> None:
    record = run.record
    record.num_parameters, record.result = 5, record.result.model_copy(update={"correct": record.result.seen})  # type: ignore[union-attr]
    run.write_record(record)
    model, card = models.load_weights(run.file("weights.safetensors"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    (run.folder / "weights.safetensors").write_bytes(models.weights_bytes(model, card))
    verdict = verify(
        Request(target=run.folder, contract=ask(model={"parameters": {"equals": 13_242}}, accuracy=ACCURACY))
    )
    assert [finding.status for finding in verdict.findings] == ["pass", "fail"]
    assert verdict.exit_code == 1 and verdict.word == "does not hold"


def test_epochs_come_from_the_record_and_are_cross_checked(run: Run) -> None:
    assert verify(Request(target=run.folder, contract=ask(training={"epochs": {"max": 2}}))).exit_code == 0
    assert verify(Request(target=run.folder, contract=ask(training={"epochs": {"max": 1}}))).exit_code == 1
    record = run.record
    record.epochs = 1
    run.write_record(record)
    finding = verify(Request(target=run.folder, contract=ask(training={"epochs": {"max": 1}}))).findings[0]
    assert finding.status == "fail" and "does not add up" in finding.why


def test_a_run_needs_no_arguments_and_gets_its_recipes_contract(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.folder.parent.parent)
    verdict = verify(Request())
    assert verdict.contract.name == "digits" and verdict.target.name == run.name
    assert all(finding.status == "pass" for finding in verdict.findings if finding.check.startswith("behaviour."))


def test_an_untrained_model_is_undecided_where_training_is_asked() -> None:
    verdict = verify(Request(target="two-conv", contract=ask(model={"parameters": {"max": 25_000}}, accuracy=ACCURACY)))
    assert [finding.status for finding in verdict.findings] == ["pass", "not run"]
    assert verdict.word == "undecided" and verdict.exit_code == 1
    assert (
        verify(Request(target="gap-cnn", contract=ask(model={"parameters": {"max": 9_273}}, accuracy=ACCURACY))).word
        == "does not hold"
    )


def test_fresh_weights_are_the_same_each_time_and_leave_the_random_state() -> None:
    before = torch.get_rng_state()
    first, second = (
        verify(Request(target="two-conv", contract=ask(behaviour={"train_step": True}))).findings[0].details
        for _ in range(2)
    )
    assert first == second and torch.equal(torch.get_rng_state(), before)


def test_json_says_what_was_verified(run: Run) -> None:
    verdict = verify(
        Request(target=run.folder, contract=ask(behaviour={"batch_invariance": True}, accuracy=ACCURACY), threads=1)
    )
    tree = json.loads(verdict.to_json())
    assert (tree["verdict"], tree["exit_code"], tree["target"]["model"]) == ("holds", 0, "two-conv")
    assert tree["contract"]["sha256"] == verdict.contract.sha256
    assert len(tree["target"]["weights_sha256"]) == 64 and tree["target"]["test_time_shift_pixels"] == 0
    assert tree["data"] == [
        {"source": "digits", "split": "test", "num_images": 596, "sha256": data.load("digits", "test").sha256}
    ]
    assert tree["threads"] == 1 and tree["device"] == "cpu" and tree["versions"]["torch"] and tree["machine"]
    assert [finding["check"] for finding in tree["findings"]] == ["behaviour.batch_invariance", "accuracy"]


def test_json_survives_figures_that_it_has_no_word_for(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(
        "import torch\nfrom torch import nn\nclass Net(nn.Module):\n"
        "    def forward(self, x):\n        return x.flatten(1)[:, :10] * float('nan')\n"
    )
    verdict = verify(
        Request(target=f"{tmp_path}/odd.py:Net", contract=ask(behaviour={"batch_invariance": True, "finite": True}))
    )
    assert json.loads(verdict.to_json())["verdict"] == "does not hold"
    assert verdict.findings[0].details["in another order"] == float("inf")


def test_kept_files_are_whole_and_need_no_pickle(run: Run) -> None:
    verdict = verify(Request(target=run.folder, contract=ask(accuracy=ACCURACY)))
    assert not (run.folder / "verdict.json").exists() and run.verdict is None
    verdict = verify_and_keep(run.folder, ask(accuracy=ACCURACY))
    assert run.verdict == verdict and verdict.word == "holds"
    test = data.load("digits", "test")
    with np.load(run.file("predictions.npz"), allow_pickle=False) as kept:
        assert np.array_equal(kept["labels"], test.labels_N)
        assert kept["confusion"].sum() == len(kept["predicted"]) == len(test)
        assert kept["confusion"].trace() == verdict.findings[0].details["correct"]
        worst = kept["mistakes_index"]
        assert (kept["predicted"][worst] != test.labels_N[worst]).all()
        assert np.array_equal(kept["mistakes_images"], test.images_NHW[worst])
        assert (np.diff(kept["mistakes_probability"]) <= 0).all()


def test_test_time_augmentation_is_named_when_on(run: Run) -> None:
    text = run.file("recipe.toml").read_text()
    run.write("recipe.toml", text.replace("shift_pixels = 0", "shift_pixels = 1"))
    verdict = verify(Request(target=run.folder, contract=ask(accuracy=ACCURACY)))
    assert "test-time augmentation" in verdict.findings[0].why
    assert verdict.target.test_time_shift_pixels == verdict.findings[0].details["shift_pixels"] == 1


def test_another_data_set_changes_the_contracts_hash(run: Run) -> None:
    asked = ask(accuracy=ACCURACY | {"source": "mnist"})
    verdict = verify(Request(target=run.folder, contract=asked, data="digits"))
    assert verdict.data[0].source == "digits" and verdict.contract.sha256 != asked.sha256


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return x.flatten(1)[:, :7]", r"output shape for \(2, 1, 28, 28\), got \(2, 7\), expected \(2, 10\)"),
        ("return x.view(3, -1)", "shape '"),
        ("return None", "NoneType"),
    ],
)
def test_a_model_with_the_wrong_output_is_a_bad_question(tmp_path: Path, body: str, says: str) -> None:
    path = tmp_path / "net.py"
    path.write_text(f"from torch import nn\nclass Net(nn.Module):\n    def forward(self, x):\n        {body}\n")
    with pytest.raises(TinydigitsError, match=says):
        verify(Request(target=f"{path}:Net", contract=ask(behaviour={"finite": True})))
    finding = verify(Request(target=f"{path}:Net", contract=ask(shapes={"output": True}))).findings[0]
    assert finding.status == "fail"


@pytest.mark.parametrize(
    ("target", "contract", "says"),
    [
        ("nothing", None, "is nothing that can be verified"),
        ("two-conv", "nothing", "unknown contract 'nothing'"),
        ("two-conv", Contract(name="x", model={"layer": {"require": []}}), "model.layers"),
        ("nowhere.py:Net", "under-25k", "nowhere.py"),
        (None, None, "no run here yet"),
    ],
)
def test_malformed_questions_are_refused(
    tmp_path: Path, target: str | None, contract: str | Contract | None, says: str
) -> None:
    with pytest.raises(TinydigitsError, match=says):
        verify(Request(target=target, contract=contract, runs=tmp_path))


def test_a_run_without_weights_is_incomplete(run: Run) -> None:
    (run.folder / "weights.safetensors").unlink()
    with pytest.raises(TinydigitsError, match=r"has no weights\.safetensors"):
        verify(Request(target=run.folder))


def test_command_prints_findings_writes_json_and_exits_with_the_verdict(run: Run, tmp_path: Path) -> None:
    loose = tmp_path / "loose.toml"
    loose.write_text("[model]\nparameters = { max = 20_000 }\n[accuracy]\nsource = 'digits'\nmin = 0.5\n")
    result = CliRunner().invoke(
        app, ["verify", str(run.folder), "--contract", str(loose), "--json", str(tmp_path / "v.json")]
    )
    assert result.exit_code == 0, result.output
    for words in ("model.parameters", "13,242", "at most 20,000", "pass", "interval", "holds (2 pass)", "next: "):
        assert words in result.output
    assert (tmp_path / "v.json").read_text() == run.file("verdict.json").read_text()

    loose.write_text("[model]\nparameters = { max = 13_000 }\n")
    result = CliRunner().invoke(app, ["verify", str(run.folder), "--contract", str(loose)])
    assert result.exit_code == 1 and "does not hold (1 fail)" in result.output
    assert "head.1 (linear) holds 12,576 of 13,242" in result.output


def test_command_exits_2_for_a_malformed_question() -> None:
    command = [sys.executable, "-c", "from tinydigits.cli import main; main()", "verify", "two-conv", "--contract", "x"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "unknown contract 'x'" in result.stderr and "Traceback" not in result.stderr


def test_weights_file_of_the_run_is_not_changed(run: Run) -> None:
    before = run.file("weights.safetensors").read_bytes()
    verify_and_keep(run.folder, ask(behaviour={"train_step": True, "gradients": True}, accuracy=ACCURACY))
    assert run.file("weights.safetensors").read_bytes() == before
    assert io.BytesIO(before).getbuffer().nbytes > 50_000
