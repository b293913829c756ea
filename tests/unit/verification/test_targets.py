"""Everything that can be verified: classes with weights, files of weights, modules in memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner

from tinydigits import data, models, recipe
from tinydigits.cli.main import app
from tinydigits.contract import Contract
from tinydigits.errors import TinydigitsError
from tinydigits.exports import export, of_run
from tinydigits.run import Run
from tinydigits.training import train
from tinydigits.verdict import Verdict
from tinydigits.verification import InputFacts, Request, prepare, verify

ACCURACY = {"source": "digits", "split": "test", "min": 0.5, "bound": "point"}
CORRECT = Contract(name="correct", accuracy=ACCURACY)

# The run's two-conv, as a stranger would have it: another size, channels, levels, or answers.
FOREIGN = """
import torch
from torch import nn
from tinydigits.models.two_conv import TwoConv

class Net(nn.Module):
    def __init__(self, answer: str = "logits", border: int = 0, channels: int = 1, flat: bool = False) -> None:
        super().__init__()
        self.net = TwoConv()
        self.answer, self.border, self.channels, self.flat = answer, border, channels, flat

    def forward(self, images):
        if self.flat:
            images = images.reshape(-1, 1, 28, 28)
        if images.shape[1:] != (self.channels, 28 + 2 * self.border, 28 + 2 * self.border):
            raise ValueError(f"no images of {tuple(images.shape)}")
        if self.border:
            images = images[:, :, self.border:-self.border, self.border:-self.border]
        logits = self.net(images.mean(1, keepdim=True))
        answers = {"logits": logits, "log": logits.log_softmax(1), "p": logits.softmax(1), "dict": {"y": logits}}
        return answers[self.answer]
"""


@pytest.fixture
def foreign(trained: Run, tmp_path: Path) -> tuple[str, Path]:
    """`file.py:Net` and its weights."""
    (tmp_path / "net.py").write_text(FOREIGN)
    state = {f"net.{name}": tensor for name, tensor in load_file(trained.file("weights.safetensors")).items()}
    torch.save({"state_dict": state}, tmp_path / "net.pth")
    return f"{tmp_path}/net.py:Net", tmp_path / "net.pth"


@pytest.fixture(scope="module")
def expected(trained: Run) -> Verdict:
    """What the run itself is found to be."""
    return verify(Request(target=trained.folder, contract=CORRECT))


def counts(verdict: Verdict) -> tuple[int, int]:
    details = verdict.findings["accuracy"].details
    return details["correct"], details["seen"]


def levels(run: Run) -> tuple[float, float]:
    card = models.load_weights(run.file("weights.safetensors"))[1]
    return card.mean, card.std


@pytest.mark.parametrize("answer", ["logits", "log", "p", "dict"])
def test_logits_log_probabilities_and_probabilities_are_recognised(
    foreign: tuple[str, Path], trained: Run, expected: Verdict, answer: str
) -> None:
    mean, std = levels(trained)
    case = prepare(
        Request(
            target=foreign[0],
            contract=CORRECT,
            weights=foreign[1],
            options={"answer": answer},
            input=InputFacts(mean=mean, std=std),
        )
    )
    found, of_the_run = case.judge(), prepare(Request(target=trained.folder, contract=CORRECT))
    assert found.target.output == {"log": "log_probabilities", "p": "probabilities"}.get(answer, "logits")
    assert counts(found) == counts(of_the_run.judge()) == counts(expected)
    ours, theirs = (next(iter(each.evaluations.values()))[1] for each in (case, of_the_run))
    assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
    assert ours.probability_N == pytest.approx(theirs.probability_N, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "shape"),
    [({"border": 2, "channels": 3}, (3, 32, 32)), ({"border": 18}, (1, 64, 64)), ({"flat": True}, (784,))],
)
def test_a_foreign_model_keeps_its_input(
    foreign: tuple[str, Path], trained: Run, expected: Verdict, options: dict[str, object], shape: tuple[int, ...]
) -> None:
    mean, std = levels(trained)
    by_user = verify(
        Request(
            target=foreign[0],
            contract=CORRECT,
            weights=foreign[1],
            options=options,
            input=InputFacts(input_shape=shape, mean=mean, std=std),
        )
    )
    assert counts(by_user) == counts(expected) and by_user.target.input_origins["mean"] == "the command line"
    own = Contract(name="own", shapes={"input": {"shape": shape, "mean": mean, "std": std}}, accuracy=ACCURACY)
    by_contract = verify(Request(target=foreign[0], contract=own, weights=foreign[1], options=options))
    assert counts(by_contract) == counts(expected) and by_contract.word == "holds"
    assert by_contract.target.input_origins == dict.fromkeys(("input_shape", "mean", "std"), "the contract")
    with pytest.raises(TinydigitsError, match=r"no images of[^\n]*\n  try: --input"):
        verify(Request(target=foreign[0], contract=CORRECT, weights=foreign[1], options={"border": 2}))


def test_what_nobody_says_is_assumed_and_the_verdict_says_so(foreign: tuple[str, Path]) -> None:
    found = verify(Request(target=foreign[0], contract=CORRECT, weights=foreign[1]))
    assert found.target.input_origins == dict.fromkeys(("input_shape", "mean", "std"), "nobody")
    assert (found.target.mean, found.target.std) == (0.1307, 0.3081)


@pytest.mark.parametrize("kind", ["run's own", "copied", "state dict", "module"])
def test_one_training_has_one_accuracy_whatever_it_comes_in(
    trained: Run, expected: Verdict, tmp_path: Path, kind: str
) -> None:
    weights = trained.file("weights.safetensors")
    mean, std = levels(trained)
    if kind == "run's own":
        found = verify(Request(target=weights, contract=CORRECT))
    elif kind == "copied":
        found = verify(
            Request(target="two-conv", contract=CORRECT, weights=shutil.copy(weights, tmp_path / "w.safetensors"))
        )
    elif kind == "state dict":
        torch.save(load_file(weights), tmp_path / "w.pt")
        found = verify(
            Request(
                target="two-conv", contract=CORRECT, weights=tmp_path / "w.pt", input=InputFacts(mean=mean, std=std)
            )
        )
    else:
        found = verify(Request(contract=CORRECT, input=InputFacts(mean=mean, std=std)), models.load_weights(weights)[0])
    assert counts(found) == counts(expected)
    if kind != "module":
        assert len(found.target.weights_sha256) == 64


def test_a_card_counts_more_than_a_contract_and_a_flag_more_than_both(trained: Run) -> None:
    asked = Contract(name="other", shapes={"input": {"mean": 0.9, "range": None}}, accuracy=ACCURACY)
    weights = trained.file("weights.safetensors")
    assert verify(Request(target=weights, contract=asked)).target.mean == levels(trained)[0]
    assert verify(Request(target=weights, contract=asked, input=InputFacts(mean=0.7))).target.mean == 0.7


def test_a_range_says_what_mean_and_std_say() -> None:
    asked = Contract(name="range", shapes={"input": {"range": [0, 255]}})
    found = verify(Request(target="two-conv", contract=asked))
    assert found.target.mean == 0 and found.target.std == pytest.approx(1 / 255)


def test_a_module_is_left_as_it_was(trained: Run) -> None:
    model = models.load_weights(trained.file("weights.safetensors"))[0]
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    verify(Request(contract="digits"), model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing.bin"], "is nothing that can be verified"),
        (["two-conv", "--weights", "nowhere.pt"], "nowhere.pt: no such weights file"),
        (["two-conv", "--weights", "{other}"], "does not fit TwoConv: lacks"),
        (["{other}"], "has no tinydigits metadata"),
        (["{run}", "--weights", "{other}"], "has weights and options of its own"),
        (["{run}", "--set", "dropout=0.1"], "has weights and options of its own"),
        (["two-conv", "--set", "dropuot=0.1"], "dropout"),
        (["two-conv", "--input", "3xx"], "--input: got 3xx"),
        (["two-conv", "--mean", "grey"], "--mean: got grey"),
        (["two-conv", "--range", "1"], "--range: got 1"),
        (["two-conv", "--range", "0:1", "--std", "1"], "--range"),
    ],
)
def test_a_malformed_question_is_refused_without_a_traceback(
    trained: Run, tmp_path: Path, arguments: list[str], says: str
) -> None:
    save_file(nn.Linear(3, 3).state_dict(), tmp_path / "other.safetensors")
    places = {"other": tmp_path / "other.safetensors", "run": trained.folder}
    result = CliRunner().invoke(
        app, ["verify", *(argument.format(**places) for argument in arguments), "--contract", "digits"]
    )
    assert isinstance(result.exception, TinydigitsError), result.output
    assert says in str(result.exception)


def test_the_command_takes_weights_arguments_and_input(foreign: tuple[str, Path], trained: Run, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[shapes]\ninput = true\n[accuracy]\nsource = 'digits'\nmin = 0.5\n")
    mean, std = map(str, levels(trained))
    result = CliRunner().invoke(app, [
        "verify", foreign[0], "--weights", str(foreign[1]), "--contract", f"{tmp_path}/c.toml", "--set", "border=2",
        "--set", "channels=3", "--set", "answer=p", "--input", "3x32x32", "--mean", f"{mean},{mean},{mean}",
        "--std", std,
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "takes 3×32×32 as (grey - [" in result.output and "gives probabilities" in result.output
    assert "holds (3 pass)" in result.output


def test_data_digits_are_28_by_28_so_that_the_figures_above_are_of_real_images() -> None:
    assert data.load("digits", "test").images_NHW.shape == (596, 28, 28)


TWICE = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(8, 10)
        self.net = nn.Sequential(self.features, nn.Flatten(), self.head)

    def forward(self, images):
        return self.net(images)
"""


def test_layers_with_two_names_are_trained_exported_and_counted_once(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(TWICE)
    spec = f"{tmp_path}/net.py:Net"
    models.allow(spec)
    behaviour = dict.fromkeys(("gradients", "save_and_load"), True)
    contract = Contract(name="all", model={"parameters": {"equals": 170, "unused": 0}}, behaviour=behaviour)
    settings = [f"model.name={spec}", "model.options={}", "data.source=digits", "data.batch_size=300", "epochs=1"]
    run = train(recipe.load("two-conv", settings), out=tmp_path / "runs", threads=1)
    exported = [export(of_run(run), name, tmp_path).path for name in ("pt2", "pth", "safetensors")]
    for target in (spec, run.folder, *exported):
        found = {
            finding.check: (finding.status, finding.measured)
            for finding in verify(Request(target=target, contract=contract)).findings
        }
        assert found["model.parameters"] == ("pass", "170"), (target, found)
        assert {"fail", "undecided"}.isdisjoint(status for status, _ in found.values()), (target, found)
