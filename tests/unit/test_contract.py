"""Contract files: found, read, refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.results_page import load_claims
from tests.conftest import HOSTILE
from tinydigits import checks, contract
from tinydigits.contract import Contract
from tinydigits.errors import TinydigitsError


@pytest.mark.parametrize("name", contract.names())
def test_contract_of_the_package_asks_only_what_checks_know(name: str) -> None:
    found = contract.load(name)
    assert found.name == name and found.description
    assert checks.bind(found)


def test_each_of_the_five_systems_has_a_contract() -> None:
    claims = load_claims(Path(__file__).parents[2] / "benchmarks" / "results" / "claims.toml")
    assert {system.name for system in claims.system} <= set(contract.names())
    assert len(claims.system) == 5


def test_all_checks_are_used_by_some_contract_of_the_package() -> None:
    used = {check.name for name in contract.names() for check, _ in checks.bind(contract.load(name))}
    # No document claims a number of multiply-adds, the package knows no run of the user's to compare with, and a
    # stranger's code is compared with its graph in any case.
    assert set(checks.names()) - used == {"model.multiply_adds", "accuracy.baseline", "model.graph"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[modle.parameters]\nmax = 1", ["modle", "try: model"]),
        ("[model]\nparametres = { max = 1 }", ["contract mine: unknown check 'model.parametres'", "model.parameters"]),
        ("[model]\nparameters = { maximum = 1 }", ["mine: model.parameters", "'maximum'", "max"]),
        ("[model]\nparameters = { max = 'many' }", ["mine: model.parameters: max", "'many'", "integer"]),
        ("[model]\nparameters = {}", ["model.parameters", "at least one of min, max, equals"]),
        ("[model]\nparameters = 5", ["mine: model.parameters", "got 5", "table of limits"]),
        (
            "[model]\nlayers = { require = ['batchnorm'] }",
            ["model.layers: require.0", "expected a kind of layer, as ba"],
        ),
        ("[accuracy]\nsource = 'mnist'", ["mine: accuracy: min", "is required"]),
        ("[accuracy]\nmin = 99.4", ["accuracy: min", "99.4", "≤ 1"]),
        ("[accuracy]\nmin = 0.9\nbound = 'points'", ["bound", "'points'", "'point' or 'confidence'"]),
        ("name = 3\n[behaviour]\nfinite = true", ["name", "got 3"]),
        ("[behaviour]\nfinite = false", ["asks for no check"]),
        ("[behaviour]\nfinite = true\n[latency]", ["mine: latency: max_ms", "is required"]),
        ("[accuracy.per_clas]\nmin = 0.9", ["mine: accuracy: unknown key 'per_clas'", "try: per_class"]),
        ("accuracy = 0.9", ["accuracy", "got 0.9"]),
        ("[model", ["mine", "not TOML"]),
        # What no model can keep to, or every one does.
        (
            "[model]\nparameters = { min = 10, max = 5 }",
            ["model.parameters: got min = 10, max = 5", "min ≤ equals ≤ max"],
        ),
        ("[training]\nepochs = { equals = 3, max = 2 }", ["training.epochs: got equals = 3, max = 2"]),
        ("[model]\nparameters = { min = 0 }", ["model.parameters: min: got 0, expected ≥ 1"]),
        ("[model]\nmultiply_adds = { max = -1 }", ["model.multiply_adds: max: got -1, expected ≥ 0"]),
        ("[model]\nlayers = { require = ['conv'], forbid = ['conv'] }", ["either require or forbid for conv"]),
        ("[shapes]\noutput = { classes = 0 }", ["shapes.output: classes: got 0, expected ≥ 1"]),
        ("[behaviour]\nbatch_invariance = { batch_sizes = [] }", ["batch_invariance: batch_sizes", "at least 1 item"]),
        ("[behaviour]\nbatch_invariance = { tolerance = 1 }", ["batch_invariance: tolerance: got 1, expected < 1"]),
        ("[accuracy]\nmin = 0", ["accuracy: min: got 0, expected > 0"]),
        ("[accuracy]\nmin = 0.9\nconfidence = 0.01", ["accuracy: confidence: got 0.01, expected ≥ 0.5"]),
        ("[accuracy.calibration]\nmax = 1", ["accuracy.calibration: max: got 1, expected < 1"]),
        ("[accuracy.baseline]\nrun = 'a'\nmargin = 1.0", ["accuracy.baseline: margin: got 1.0, expected < 1"]),
        ("[latency]\nmax_ms = inf", ["mine: latency: max_ms: got inf, expected a finite number"]),
        # What could be taken for something else where it is printed.
        (r'name = "x: holds\n\u001b[32m"', [r"mine: name: got 'x: holds\n\x1b[32m', expected one line"]),
        ('name = "::error::x"', ["mine: name: got '::error::x', expected one line"]),
        (r'name = "a\u202Eb"', [r"mine: name: got 'a\u202eb', expected one line"]),
        (r'description = "two\nlines\u0007"', [r"mine: description: got 'lines\x07', expected one line"]),
        ("[accuracy]\nmin = 0.9\nsource = 'a\tb'", [r"mine: accuracy.source: got 'a\tb', expected one line"]),
        ('[model."a\\nb"]\nmax = 1', ["expected one line of printable characters"]),
    ],
)
def test_what_does_not_fit_is_refused_by_contract_and_key(tmp_path: Path, text: str, says: list[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(TinydigitsError) as caught:
        checks.bind(contract.load(path))
    for words in says:
        assert words in str(caught.value).replace(str(path), "mine"), str(caught.value)


def test_a_contract_whose_name_is_no_line_is_refused_wherever_it_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "a\nb.toml"
    path.write_text("[behaviour]\nfinite = true")
    with pytest.raises(TinydigitsError, match=r"a\\nb\.toml: name: got 'a\\nb', expected one line"):
        contract.load(path)
    with pytest.raises(ValidationError, match="one line of printable characters"):
        Contract(name=HOSTILE[:40], behaviour={"finite": True})
    assert Contract(name="Week 3: 25k, für alle", behaviour={"finite": True}).name == "Week 3: 25k, für alle"


@pytest.mark.parametrize("name", checks.names())
def test_every_number_of_a_limit_is_bounded_and_finite(name: str) -> None:
    fields = checks.get(name).limits.model_json_schema()["properties"]
    numbers = {
        key: kind
        for key, field in fields.items() if key not in ("mean", "std", "range")  # of which any may be right
        for kind in [field, *field.get("anyOf", [])] if kind.get("type") in ("integer", "number") and "enum" not in kind
    }  # fmt: skip
    assert all({"minimum", "exclusiveMinimum"} & kind.keys() for kind in numbers.values()), numbers
    for key in numbers:
        for value in (float("inf"), float("nan")):
            with pytest.raises(ValidationError):
                checks.get(name).limits.model_validate({key: value})


def test_unknown_contract_comes_with_near_matches() -> None:
    with pytest.raises(TinydigitsError, match="try: gap-cnn"):
        contract.load("gapcnn")
    with pytest.raises(TinydigitsError, match=r"no such file\n  try: tinydigits contracts cp under-25k nowhere\.toml"):
        contract.load("nowhere.toml")


def test_true_asks_false_leaves_out_and_a_table_changes() -> None:
    made = Contract(name="x", behaviour={"finite": True, "gradients": False, "batch_invariance": {"tolerance": 1e-3}})
    bound = {check.name: limits for check, limits in checks.bind(made)}
    assert list(bound) == ["behaviour.finite", "behaviour.batch_invariance"]
    assert bound["behaviour.batch_invariance"].tolerance == 1e-3  # type: ignore[attr-defined]


def test_a_table_may_hold_further_checks_which_ask_the_same_images() -> None:
    group = {"source": "digits", "split": "train", "min": 0.9, "per_class": {"min": 0.8}}
    bound = {check.name: limits for check, limits in checks.bind(Contract(name="x", accuracy=group))}
    assert list(bound) == ["accuracy", "accuracy.per_class"]
    per_class = bound["accuracy.per_class"]
    assert (per_class.source, per_class.split, per_class.min) == ("digits", "train", 0.8)  # type: ignore[attr-defined]

    own = {"per_class": {"min": 0.8, "source": "kmnist"}}
    ((check, limits),) = checks.bind(Contract(name="x", accuracy=own))
    assert (check.name, limits.source) == ("accuracy.per_class", "kmnist")  # type: ignore[attr-defined]


def test_hash_is_of_the_text(tmp_path: Path) -> None:
    text = contract.load("under-25k").text
    (tmp_path / "copy.toml").write_text(text)
    (tmp_path / "changed.toml").write_text(text.replace("24_999", "25_000"))
    assert contract.load(tmp_path / "copy.toml").sha256 == contract.load("under-25k").sha256
    assert contract.load(tmp_path / "changed.toml").sha256 != contract.load("under-25k").sha256


def test_reading_contracts_needs_no_torch() -> None:
    code = "import sys; from tinydigits import contract; contract.load('gap-cnn'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
