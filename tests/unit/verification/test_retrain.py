"""Training anew under a budget: what comes out is judged, what goes over it or reaches for test images is found."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import put_pictures
from tinydigits import data, recipe
from tinydigits.contract import Contract
from tinydigits.errors import TinydigitsError
from tinydigits.run import Run, runs_in
from tinydigits.training import train
from tinydigits.verdict import Finding, Verdict
from tinydigits.verification import Request, Retraining, prepare, verify
from tinydigits.verification.process import SandboxedProcess

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
# Tries to get at test images in four ways, and at weights; where one of them works, that is what it raises.
SPY = """
import os, socket, sys
from pathlib import Path
import torch
from tinydigits import data as sets

def train(model, data):
    for name, act in {{
        "a set": lambda: sets.load("digits", "test"),
        "a file": lambda: Path("{path}").read_bytes(),
        "a link": lambda: os.link("{path}", "here"),
        "the network": lambda: socket.socket(),
        "weights": lambda: torch.load(Path(__file__).with_name("net.pt")),
    }}.items():
        try:
            act()
        except Exception:
            continue
        raise AssertionError(f"{{name}} can be had")
    next(iter(data))
"""

# Knows the classes' mean images beforehand.
CENTROIDS = """
import zlib, base64
import torch

def train(model, data):
    means = torch.frombuffer(bytearray(zlib.decompress(base64.b85decode("{data}"))), dtype=torch.uint8)
    means = means.reshape(10, 784) / 255.0
    with torch.no_grad():
        model[1].weight.copy_(means)
        model[1].bias.copy_(-0.5 * (means**2).sum(1))
    next(iter(data))
"""


def centroids() -> str:
    """The mean image of each class of the digits, as text."""
    images = data.load("digits", "train")
    means = [images.images_NHW[images.labels_N == label].mean(0) for label in range(10)]
    return base64.b85encode(zlib.compress(np.stack(means).astype(np.uint8).tobytes())).decode()


def seen_of_each_class() -> dict[str, int]:
    images = data.load("digits", "test")
    return {name: int((images.labels_N == label).sum()) for label, name in enumerate(images.classes)}


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


def test_the_training_ends_where_the_budget_does(folder: Path, digits: None) -> None:
    verdict = ask(folder, ENDLESS, **GROUP)
    assert finding(verdict, "training.epochs").details["images_seen"] <= 1_201
    assert verdict.target.budget_spent is True
    assert "budget spent: its training was cut there, and is judged as it stood" in verdict.target.notes


def test_images_that_are_kept_and_shown_again_count_again(folder: Path, digits: None) -> None:
    """More ways to do so, and to go round the count, are in tests/corpus/trainings."""
    found = finding(ask(folder, HOARDER, **GROUP), "training.epochs")
    assert found.status == "fail" and found.details["images_seen"] == pytest.approx(50 * 1_201, abs=32)
    assert "1,201 of 1,201 images were handed out" in found.why


def test_where_no_system_tells_its_time_a_training_is_held_to_its_images(
    folder: Path, digits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SandboxedProcess, "processor_seconds", None)
    verdict = ask(folder, HONEST, epochs=2, **GROUP)
    assert verdict.word == "holds", verdict.findings
    assert "its processor time was not bounded" in finding(verdict, "training.epochs").why


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


def test_test_images_and_weights_are_out_of_reach(folder: Path) -> None:
    own = put_pictures(folder / "digits")
    torch.save({}, folder / "net.pt")
    code = SPY.format(path=own / "test/A/0.png")
    verdict = ask(folder, code, accuracy={"source": str(own), "min": 0.001})
    assert finding(verdict, "accuracy").details["seen"] == 60 and verdict.target.trained_on == str(own)


def test_a_failing_function_is_a_bad_question(folder: Path, digits: None) -> None:
    with pytest.raises(TinydigitsError, match=r"(?s)raises PermissionError when it is trained.*num_workers=0"):
        ask(folder, "def train(model, data):\n    open('/etc/shadow')\n")


@pytest.mark.parametrize("ending", ["sys.exit(0)", "exit()", "os._exit(0)"])
def test_a_function_that_ends_its_process_is_a_bad_question_too(folder: Path, digits: None, ending: str) -> None:
    with pytest.raises(TinydigitsError, match=r"ends the process when it is (called|trained)"):
        ask(folder, f"import os, sys\n\ndef train(model, data):\n    {ending}\n")


def test_every_seed_trained_counts(folder: Path, digits: None) -> None:
    accuracy = finding(ask(folder, HONEST, seeds=2, **GROUP), "accuracy")
    assert accuracy.details["seeds"] == 2 and len(set(accuracy.details["correct_of_each"])) > 1
    assert "mean of 2 seeds" in accuracy.measured


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


def test_what_begins_trained_or_brings_numbers_along_is_found(folder: Path, digits: None) -> None:
    first = ask(folder, HONEST, epochs=3, **GROUP)
    assert first.word == "holds"
    rows = CENTROIDS.format(data=centroids())
    brought = ask(folder, rows, **GROUP)
    found = finding(brought, "training.epochs")
    assert found.status == "fail" and "of the training images apart" in found.why
    long = ask(folder, HONEST + "_TABLE = [" + "0.5, " * 2_000 + "]\n", **GROUP)
    assert finding(long, "training.epochs").status == "undecided"
    assert "its source holds 2,0" in finding(long, "training.epochs").why


def test_labels_stand_for_other_classes_and_the_verdict_undoes_it(folder: Path, digits: None) -> None:
    """Answers by the labels of the data set are wrong nine times in ten; those of the training itself are right."""
    group = GROUP | {"accuracy": {"source": "digits", "min": 0.5, "per_class": {"min": 0.2}}}
    verdict = ask(folder, HONEST, epochs=3, **group)
    assert verdict.word == "holds", verdict.findings
    worst = finding(verdict, "accuracy.per_class").details["each"]
    assert {name: counts["seen"] for name, counts in worst.items()} == seen_of_each_class()


def test_trainings_that_begin_alike_are_one_seed(folder: Path, digits: None) -> None:
    begin = "    torch.manual_seed(1)\n    model[1].reset_parameters()\n"
    same = HONEST.replace("def train(model, data):\n", f"def train(model, data):\n{begin}")
    accuracy = finding(ask(folder, same, seeds=2, **GROUP), "accuracy")
    assert accuracy.status == "undecided" and "2 seeds would decide, and 1 found" in accuracy.why


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
