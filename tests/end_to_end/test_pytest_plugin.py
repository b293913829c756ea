"""The pytest plugin as its users meet it: installed from the wheel, found by its entry point, in its own processes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
import torch

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Environment

pytest_plugins = ["pytester"]

Ask = Callable[..., pytest.RunResult]

MODEL = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""
CONTRACT = """
[model]
parameters = { max = 7_000 }
layers = { require = ["linear"], forbid = ["dropout"] }
[shapes]
output = true
[accuracy]
source = "digits"
min = 0.5
"""
CHECKS = ["model.parameters", "model.layers", "shapes.output", "accuracy", "model.graph"]
OPTIONS = ["--tinydigits-contract", "contract.toml", "--tinydigits-target", "model.py:Net"]


@pytest.fixture
def ask(pytester: pytest.Pytester, installed: Environment, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs pytest, with the plugin, in a folder with a model, a contract and a test beside them."""
    for name in ("PYTHONPATH", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    (pytester.path / "model.py").write_text(MODEL, encoding="utf-8")
    (pytester.path / "contract.toml").write_text(CONTRACT, encoding="utf-8")
    (pytester.path / "test_other.py").write_text("def test_other():\n    pass\n", encoding="utf-8")
    pytester.makeini("[pytest]\n")
    return lambda *arguments: pytester.run(installed.python, "-m", "pytest", "-p", "no:cacheprovider", *arguments)


def test_each_check_is_a_test_and_what_is_not_known_fails_with_its_reason(pytester: pytest.Pytester, ask: Ask) -> None:
    answer = ask(*OPTIONS, "--junitxml=report.xml", "-v")
    assert answer.ret == 1
    answer.assert_outcomes(passed=4, failed=2)  # with test_other
    text = answer.stdout.str()
    for words in (
        "contract.toml::model.layers PASSED", "contract.toml::accuracy FAILED", "test_other.py::test_other PASSED",
        "fail: 7,850, limit: at most 7,000", "What to do: 850 too many; 1 (linear) holds 7,850 of 7,850.",
        "not run: limit: at least 50.00 % of digits test\nthe model is untrained\nWhat to do: --weights FILE, or",
        "FAILED contract.toml::model.parameters - Failed: fail: 7,850",
    ):  # fmt: skip
        assert words in text, words
    assert "Traceback" not in text and "pytest_plugin.py" not in text
    cases = {case.get("name"): case for case in ElementTree.parse(pytester.path / "report.xml").iter("testcase")}
    assert list(cases)[: len(CHECKS)] == CHECKS or set(CHECKS) < set(cases)
    facts = {entry.get("name"): entry.get("value") for entry in cases["model.parameters"].iter("property")}
    assert facts == {"finding": "fail", "measured": "7,850", "limit": "at most 7,000"}
    assert cases["accuracy"].find("failure") is not None and cases["shapes.output"].find("failure") is None


def test_xdist_gives_the_same_answers(ask: Ask) -> None:
    answer = ask(*OPTIONS, "-n", "2", "-v")
    answer.assert_outcomes(passed=4, failed=2)
    assert answer.ret == 1
    assert re.search(r"\[gw\d\] .*FAILED contract\.toml::model\.parameters", answer.stdout.str())


@pytest.mark.parametrize(
    ("arguments", "outcomes", "code"),
    [
        (["-k", "layers or output"], {"passed": 2, "deselected": 4}, 0),
        (["-x"], {"failed": 1}, 1),
        (["--deselect", "contract.toml::accuracy", "-k", "contract"], {"passed": 3, "failed": 1, "deselected": 2}, 1),
        (["contract.toml::model.layers"], {"passed": 1}, 0),
        (["test_other.py"], {"passed": 4, "failed": 2}, 1),  # the contract is asked for on the command line, too
        (["--tinydigits-target", "two-conv", "-k", "accuracy"], {"failed": 1, "deselected": 5}, 1),
        (["--tinydigits-target", "two-conv", "-k", "graph"], {"skipped": 1, "deselected": 5}, 0),  # no code of theirs
    ],
)
def test_choosing_stopping_and_exit_codes_are_pytests_own(
    arguments: list[str], outcomes: dict[str, int], code: int, ask: Ask
) -> None:
    answer = ask(*OPTIONS, *arguments)
    answer.assert_outcomes(**outcomes)
    assert answer.ret == code


def test_collect_only_names_the_checks_without_looking_at_the_model(pytester: pytest.Pytester, ask: Ask) -> None:
    (pytester.path / "model.py").write_text("raise RuntimeError('was looked at')", encoding="utf-8")
    answer = ask(*OPTIONS, "--collect-only", "-q")
    assert answer.ret == 0
    assert [line for line in answer.outlines if line.startswith("contract")] == [f"contract.toml::{c}" for c in CHECKS]
    tried = ask(*OPTIONS, "-k", "layers")
    tried.assert_outcomes(errors=1, deselected=5)
    assert "model.py does not import: RuntimeError: was looked at" in tried.stdout.str()


def test_options_may_stand_in_the_ini_file_and_then_named_tests_run_alone(pytester: pytest.Pytester, ask: Ask) -> None:
    tests = pytester.mkdir("tests")
    (pytester.path / "test_other.py").rename(tests / "test_other.py")
    pytester.makeini(
        "[pytest]\ntestpaths = tests\ntinydigits_contract = contract.toml\ntinydigits_target = model.py:Net\n"
    )
    ask().assert_outcomes(passed=4, failed=2)
    ask("tests").assert_outcomes(passed=1)
    ask("contract.toml::shapes.output").assert_outcomes(passed=1)
    ask("-n", "1", "-k", "shapes").assert_outcomes(passed=1)
    ask("--tinydigits-contract", "under-25k", "-k", "parameters or accuracy").assert_outcomes(
        passed=1, failed=1, deselected=15
    )


def test_a_model_that_ends_the_process_fails_and_ends_nothing(pytester: pytest.Pytester, ask: Ask) -> None:
    """Neither as a script does, nor by pytest's own word for the end of a session, here with exit code 0."""
    for ending, says in (
        ("import sys; sys.exit(0)\n", "model.py:Net: ends the process when it is imported"),
        ("    def forward(self, images):\n        pytest.exit('fine', 0)\n", "Exit: fine"),
    ):
        (pytester.path / "model.py").write_text(f"import pytest\n{MODEL}{ending}", encoding="utf-8")
        answer = ask(*OPTIONS, "-k", "parameters or layers")
        assert answer.ret == 1
        assert says in answer.stdout.str()
        assert "Traceback" not in answer.stdout.str()


def test_weights_of_a_file_are_judged(pytester: pytest.Pytester, ask: Ask) -> None:
    zeros = {"1.weight": torch.zeros(10, 784), "1.bias": torch.zeros(10)}
    torch.save(zeros, pytester.path / "net.pt")
    answer = ask(*OPTIONS, "--tinydigits-weights", "net.pt", "-k", "accuracy")
    answer.assert_outcomes(failed=1, deselected=5)
    assert re.search(r"fail: 9\.\d\d % \(\d\d of 596\), limit: at least 50\.00 %", answer.stdout.str())


def test_a_model_with_another_input_is_told_by_the_contract(pytester: pytest.Pytester, ask: Ask) -> None:
    pytester.path.joinpath("model.py").write_text(MODEL.replace("784", "3 * 32 * 32"), encoding="utf-8")
    answer = ask(*OPTIONS, "-k", "shapes")
    answer.assert_outcomes(failed=1, deselected=5)
    said = "[shapes.input]\nshape = [3, 32, 32]\nmean = 0.5\nstd = [0.5, 0.25, 0.5]\n"
    pytester.path.joinpath("contract.toml").write_text(CONTRACT.replace("[shapes]\noutput = true\n", said))
    ask(*OPTIONS, "-k", "shapes").assert_outcomes(passed=1, deselected=5)


def test_a_file_of_tests_may_have_contracts_of_its_own(pytester: pytest.Pytester, ask: Ask) -> None:
    folder = pytester.mkdir("tests")
    (folder / "test_model.py").write_text(
        "from tinydigits.pytest_plugin import contract_tests\n\n"
        "test_net = contract_tests('../contract.toml', '../model.py:Net')\n"
        "test_latest = contract_tests('../contract.toml')\n",
        encoding="utf-8",
    )
    answer = ask("-v", "-W", "error")
    answer.assert_outcomes(passed=4, failed=2, errors=5)
    text = answer.stdout.str()
    assert "tests/test_model.py::test_net::model.layers PASSED" in text
    assert "no run here yet\n  try: tinydigits train" in text


def test_a_run_of_the_users_own_code_is_judged_until_that_changes_and_then_by_naming_it(
    pytester: pytest.Pytester, ask: Ask, installed: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYDIGITS_CACHE", str(pytester.path / "cache"))
    train = ["train", "two-conv", "--model", "model.py:Net", "--data", "digits", "--epochs", "1"]
    assert pytester.run(installed.python, "-m", "tinydigits", *train).ret == 0
    (pytester.path / "runs" / "latest").unlink()  # as on a system without links
    tests = pytester.mkdir("tests") / "test_model.py"
    text = "from tinydigits.pytest_plugin import contract_tests\n\ntest_net = contract_tests({})\n"
    files = "'../contract.toml', '../runs/latest'"
    tests.write_text(text.format(files), encoding="utf-8")
    (pytester.path / "model.py").write_text(MODEL + "# better explained\n", encoding="utf-8")
    changed = ask("tests", "-k", "layers")
    changed.assert_outcomes(errors=1, deselected=4)
    assert "model.py changed since it was trained" in changed.stdout.str()
    tests.write_text(text.format(f"{files}, model='../model.py:Net'"), encoding="utf-8")
    ask("tests", "-k", "layers").assert_outcomes(passed=1, deselected=4)


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--tinydigits-contract", "under25k"], "--tinydigits-contract under25k: no such file, nor one of", 4),
        (["--tinydigits-contract", "under25k"], "try: under-25k or", 4),
        (["--tinydigits-target", "two-conv"], "--tinydigits-contract is needed", 4),
        (["--tinydigits-contract", "wrong.toml"], "unknown check 'model.parameter'", 2),
        (["--tinydigits-contract", "build/hidden.toml"], "pytest does not look into its folder", 4),
    ],
)
def test_a_malformed_question_is_never_a_pass(
    arguments: list[str], says: str, code: int, pytester: pytest.Pytester, ask: Ask
) -> None:
    (pytester.path / "wrong.toml").write_text("[model]\nparameter = { max = 1 }\n", encoding="utf-8")
    pytester.mkdir("build").joinpath("hidden.toml").write_text(CONTRACT, encoding="utf-8")
    answer = ask(*arguments)
    assert says in answer.stdout.str() + answer.stderr.str()
    assert answer.ret == code


def test_pytest_without_a_contract_starts_as_quickly_as_before(pytester: pytest.Pytester, ask: Ask) -> None:
    pytester.makeconftest(
        "import sys\n"
        "def pytest_unconfigure():\n"
        "    ours = sorted(name for name in sys.modules if name.startswith('tinydigits'))\n"
        "    print('ours', *ours, 'heavy', *({'torch', 'numpy', 'pydantic'} & sys.modules.keys()))\n"
    )
    answer = ask()
    answer.assert_outcomes(passed=1)
    assert "ours tinydigits tinydigits.pytest_plugin heavy" in answer.outlines
