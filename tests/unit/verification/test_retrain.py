"""Training anew under a budget: what comes out is judged, what goes over it or reaches for test images is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.conftest import put_pictures
from tinydigits import data, recipe
from tinydigits.contract import Contract
from tinydigits.data import ImageSet
from tinydigits.errors import TinydigitsError
from tinydigits.run import Run, runs_in
from tinydigits.training import train
from tinydigits.verdict import Finding, Verdict
from tinydigits.verification import BudgetSpent, Request, Retraining, TrainingData, prepare, verify

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""
HONEST = """
import torch
import torch.nn.functional as F

def train(model, data):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(data.epochs):
        for images, labels in data.batches(32):
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
"""
ENDLESS = HONEST.replace("range(data.epochs)", "range(1000)")
# Keeps the images of its one epoch and shows them again and again; swallows every Exception that stops it.
HOARDER = """
import torch
import torch.nn.functional as F

def train(model, data):
    kept = list(data.batches(32))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for images, labels in kept * 50:
        try:
            optimizer.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()
        except Exception:
            pass
"""
SPY = """
from tinydigits import data as sets
from tinydigits.verdict import Finding

def train(model, data):
    try:
        model.test = sets.load("digits", "test")
    except Exception:
        pass
"""
DOWNLOADER = """
import urllib.request

def train(model, data):
    try:
        urllib.request.urlopen("http://127.0.0.1:9/t10k-images-idx3-ubyte.gz", timeout=1)
    except OSError:
        pass
"""
PEEK = """
def train(model, data):
    try:
        open("{path}", "rb")
    except OSError:
        pass
"""
SHELL = """
import os

def train(model, data):
    os.system("true")
"""

# Brings weights of its own and takes no image.
LOADER = """
import torch

def train(model, data):
    model.load_state_dict({"1.weight": torch.ones(10, 784), "1.bias": torch.zeros(10)})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


def ask(folder: Path, code: str, epochs: int = 1, seeds: int | None = None, **groups: dict[str, object]) -> Verdict:
    """A verdict on `Net`, trained anew by the function in `code`."""
    (folder / "how.py").write_text(code)
    contract = Contract(name="asked", training={"epochs": {"max": epochs}}, **groups)  # type: ignore[arg-type]
    how = Retraining(function=f"{folder}/how.py:train", seeds=seeds)
    return verify(
        Request(
            target=f"{folder}/net.py:Net", contract=contract, runs=folder / "runs", data=None, retraining=how, threads=1
        )
    )


def finding(verdict: Verdict, name: str) -> Finding:
    return next(found for found in verdict.findings if found.check == name)


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled digits in place of MNIST, for functions: they name no source."""
    load = data.load
    monkeypatch.setattr("tinydigits.data.load", lambda source, split, **rest: load("digits", split, **rest))


GROUP = {"accuracy": {"source": "digits", "min": 0.5}}


def test_a_function_trains_within_the_budget_and_its_model_is_judged(folder: Path, digits: None) -> None:
    verdict = ask(folder, HONEST, epochs=2, **GROUP)
    assert verdict.word == "holds", verdict.findings
    epochs = finding(verdict, "training.epochs")
    assert epochs.details == {"epochs": 2, "images_seen": 2 * 1_201, "num_train": 1_201}
    assert "trained anew" in epochs.why
    assert verdict.target.trained_by.endswith("how.py:train") and verdict.target.retrained


def test_a_function_trains_on_the_data_that_the_contract_asks_about(folder: Path) -> None:
    verdict = ask(folder, HONEST, epochs=1, **GROUP)
    assert finding(verdict, "training.epochs").details["num_train"] == 1_201


@pytest.mark.parametrize("code", [ENDLESS, HOARDER])
def test_the_training_ends_where_the_budget_does(folder: Path, digits: None, code: str) -> None:
    verdict = ask(folder, code, **GROUP)
    assert finding(verdict, "training.epochs").details["images_seen"] <= 1_201
    assert verdict.target.budget_spent is True


@pytest.mark.parametrize("budget", [{"epochs": {"max": 1}}, {"images_seen": {"max": 1_201}}])
def test_a_function_that_takes_no_image_fails_the_budget(folder: Path, digits: None, budget: dict[str, object]) -> None:
    (folder / "how.py").write_text(LOADER)
    contract = Contract(name="budget", training=budget)
    how = Retraining(function=f"{folder}/how.py:train")
    verdict = verify(
        Request(target=f"{folder}/net.py:Net", contract=contract, runs=folder / "runs", retraining=how, threads=1)
    )
    assert [finding.status for finding in verdict.not_passed] == ["fail"], verdict.findings
    assert "no training image was seen" in verdict.findings[0].why


@pytest.mark.parametrize(
    ("code", "says"), [(SPY, "opened digits.csv.gz"), (DOWNLOADER, "used the network")], ids=["file", "network"]
)
def test_reaching_for_test_images_fails_though_nobody_asked(folder: Path, digits: None, code: str, says: str) -> None:
    verdict = ask(folder, code)
    leak = finding(verdict, "training.no_test_images")
    assert leak.status == "fail" and says in leak.why and verdict.exit_code == 1


def test_the_test_images_of_ones_own_folder_are_out_of_reach(folder: Path) -> None:
    own = put_pictures(folder / "digits")
    verdict = ask(folder, PEEK.format(path=own / "test/A/0.png"), accuracy={"source": str(own), "min": 0.001})
    leak = finding(verdict, "training.no_test_images")
    assert leak.status == "fail" and "opened 0.png" in leak.why
    assert finding(verdict, "accuracy").details["seen"] == 60 and verdict.target.trained_on == str(own)


def test_other_programs_are_refused_and_a_failing_function_is_a_bad_question(folder: Path, digits: None) -> None:
    with pytest.raises(TinydigitsError, match="PermissionError: other programs"):
        ask(folder, SHELL)


@pytest.mark.parametrize("ending", ["sys.exit(0)", "exit()", "os._exit(0)"])
def test_a_function_that_ends_its_process_is_a_bad_question_too(folder: Path, digits: None, ending: str) -> None:
    with pytest.raises(TinydigitsError, match="the training failed: ") as caught:
        ask(folder, f"import os, sys\n\ndef train(model, data):\n    {ending}\n")
    assert "how.py:train: ends the process when it is called" in str(caught.value) or "_exit" in ending


def test_every_seed_trained_counts(folder: Path, digits: None) -> None:
    verdict = ask(folder, HONEST, seeds=3, **GROUP)
    accuracy = finding(verdict, "accuracy")
    assert accuracy.details["seeds"] == 3 and len(set(accuracy.details["correct_of_each"])) > 1
    assert "mean of 3 seeds" in accuracy.measured


def test_a_run_is_trained_anew_by_its_own_recipe_with_no_more_epochs_than_allowed(tmp_path: Path) -> None:
    settings = ["data.source=digits", "epochs=2", "data.batch_size=32"]
    first = train(recipe.load("two-conv", settings), out=tmp_path, device="cpu", threads=1)
    # What the weights say now must not matter.
    first.write("weights.safetensors", b"spoiled")
    contract = Contract(
        name="asked",
        training={"epochs": {"max": 1}},
        accuracy={"source": "digits", "min": 0.1, "seeds": 2, "bound": "point"},
    )
    case = prepare(Request(target=first.folder, contract=contract, runs=tmp_path, retraining=Retraining(), threads=1))
    verdict = case.judge()
    assert verdict.word == "holds", verdict.findings
    assert case.run is not None and case.run.folder != first.folder and case.run.record.epochs == 1
    made = [run.record for run in runs_in(tmp_path) if run.folder != first.folder]
    assert [(record.recipe["seed"], record.images_seen) for record in made] == [(0, 1_201), (1, 1_201)]
    # The same as training by hand, to the bit.
    by_hand = train(recipe.load("two-conv", [*settings, "epochs=1"]), out=tmp_path / "hand", device="cpu", threads=1)
    assert weights(case.run) == weights(by_hand)


def weights(run: Run) -> dict[str, list[float]]:
    from safetensors.torch import load_file

    return {name: tensor.flatten().tolist() for name, tensor in load_file(run.file("weights.safetensors")).items()}


@pytest.mark.parametrize(
    ("target", "how", "groups", "says"),
    [
        ("{}/net.py:Net", Retraining(), {"training": {"epochs": {"max": 1}}}, "not said how to train"),
        ("{}/net.py:Net", Retraining(function="{}/net.py:nothing"), {"training": {"epochs": {"max": 1}}}, "nothing"),
        ("{}/net.py:Net", Retraining(function="{}/net.py:Net"), {"training": {"epochs": {"max": 1}}}, "a function"),
        ("{}/net.py:Net", Retraining(function="{}/how.py:train"), {"behaviour": {"finite": True}}, "has no budget"),
        (None, Retraining(function="{}/how.py:train"), {"training": {"epochs": {"max": 1}}}, "needs a model"),
    ],
)
def test_a_training_that_cannot_be_is_refused(
    folder: Path, target: str | None, how: Retraining, groups: dict[str, object], says: str
) -> None:
    (folder / "how.py").write_text(HONEST)
    function = how.function and how.function.format(folder)
    contract = Contract(name="asked", **groups)  # type: ignore[arg-type]
    named = target and target.format(folder)
    with pytest.raises(TinydigitsError, match=says):
        verify(
            Request(
                target=named,
                contract=contract,
                runs=folder / "runs",
                retraining=Retraining(recipe=how.recipe, function=function),
            )
        )


def test_images_are_counted_where_they_are_handed_out_and_where_they_are_shown() -> None:
    images = ImageSet("six", "train", np.zeros((6, 28, 28), np.uint8), np.arange(6, dtype=np.uint8), tuple("abcdef"))
    data = TrainingData(images, max_images=18)
    assert (len(data), data.epochs, data.classes) == (6, 3, tuple("abcdef"))
    model, teacher = nn.Sequential(nn.Flatten(), nn.Linear(784, 6)), nn.Linear(784, 6)
    with data.counting_what_is_shown():
        batches = list(data.batches(4))
        assert sorted(label for _, labels in batches for label in labels.tolist()) == list(range(6))
        assert data.images_left == 12
        for images_BCHW, labels_B in batches:
            loss = nn.CrossEntropyLoss()(model(images_BCHW), labels_B)  # a loss is no model: counted once
            with torch.no_grad():
                teacher(images_BCHW.flatten(1))
            loss.backward()
        assert data.images_seen == 6
        for _ in range(2):
            model(batches[0][0])
        assert data.images_seen == 14 and data.images_left == 4
        with pytest.raises(BudgetSpent):
            model(batches[0][0][[0, 1, 2, 3, 0]])
        model(batches[1][0])  # a smaller batch still fits
        assert data.images_seen == 16
    model(torch.zeros(100, 784))
    assert data.images_seen == 16, "no longer counted outside the block"


def test_the_command_trains_anew_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "quick.toml").write_text(
        "[training]\nepochs = { max = 1 }\nno_test_images = true\n[accuracy]\nsource = 'digits'\nmin = 0.1\n"
    )
    command = [
        *(sys.executable, "-m", "tinydigits", "verify", "two-conv", "--contract", str(tmp_path / "quick.toml")),
        *("--data", "digits", "--retrain", "--out", str(tmp_path / "runs"), "--threads", "1"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trained anew" in " ".join(done.stdout.split()) and "0 exact, 0 near" in done.stdout
    refused = subprocess.run([*command, "--recipe", "nothing"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and "unknown recipe 'nothing'" in refused.stderr
