"""`tinydigits models`, and the lists of recipes, sweeps and contracts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.conftest import HOSTILE
from tinydigits import contract, models, recipe, sweep
from tinydigits.cli.main import app
from tinydigits.errors import TinydigitsError, printable


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_models_ls_names_each_with_its_summary() -> None:
    output = invoke("models", "ls").output
    for name in models.names():
        assert name in output and models.summary(name)[:40] in output


def test_models_show_prints_layers_and_totals() -> None:
    output = invoke("models", "show", "gap-cnn").output
    for words in (
        "features.0",
        "4×28×28",
        "global_average_pool",
        "9,274",
        "1,217,160",
        "46 pixels",
        "37,096 bytes as fp32",
    ):
        assert words in output
    lines = [line.split() for line in output.splitlines()]
    assert ["features.0", "conv", "4×28×28", "40", "3", "28,224"] in lines


def test_models_show_takes_a_class_and_an_input_shape(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n"
        "    def __init__(self):\n        super().__init__(nn.Conv2d(3, 2, (1, 3)), nn.Flatten(), nn.LazyLinear(10))\n"
    )
    output = invoke("models", "show", f"{tmp_path}/net.py:Net", "--input", "3,8,8").output
    assert "2×8×6" in output and "1×3" in output and "990" in output
    result = invoke("models", "show", "gap-cnn", "--input", "28,x")
    assert isinstance(result.exception, TinydigitsError) and "1x28x28" in str(result.exception)


def test_models_show_prints_a_layers_name_as_it_is_on_lines_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        f"from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n        super().__init__()\n"
        f"        self.add_module({HOSTILE!r}.replace('.', ' '), nn.Linear(28, 10))\n"
    )
    output = invoke("models", "show", f"{tmp_path}/net.py:Net").output
    assert not [letter for letter in output if letter != "\n" and printable(letter) != letter]
    assert "[bold]b[/]" in output and ":smile:" in output
    assert not [line for line in output.splitlines() if line.startswith(("::", "Net against"))]


def test_models_cp_gives_a_file_that_builds_and_never_overwrites(tmp_path: Path) -> None:
    target = tmp_path / "mine.py"
    assert f"models show {target}:SEResNet" in invoke("models", "cp", "se-resnet", target).output
    assert sum(p.numel() for p in models.build(f"{target}:SEResNet").parameters()) == 17_600
    assert isinstance(invoke("models", "cp", "gap-cnn", target).exception, TinydigitsError)


@pytest.mark.parametrize(
    ("kind", "then"), [("recipes", "train"), ("sweeps", "sweep"), ("contracts", "verify --contract")]
)
def test_files_of_a_kind_are_listed_shown_and_copied(kind: str, then: str, tmp_path: Path) -> None:
    listing = invoke(kind, "ls").output
    named = re.search(rf"^next: tinydigits {then} (\S+), or tinydigits {kind} cp (\S+) mine.toml$", listing, re.M)
    assert named and named[1] == named[2] and re.search(rf"^{named[1]}\s", listing, re.M)
    shown = invoke(kind, "show", named[1])
    assert f"next: tinydigits {then} {named[1]}" in shown.stderr
    target = tmp_path / "mine.toml"
    assert f"next: tinydigits {then} {target}\n" == invoke(kind, "cp", named[1], target).output
    assert target.read_text(encoding="utf-8").rstrip() == shown.stdout.rstrip()
    for arguments in (("cp", named[1], target), ("show", "nothing"), ("show", tmp_path / "nothing.toml")):
        assert isinstance(invoke(kind, *arguments).exception, TinydigitsError)


def test_the_lists_are_whole() -> None:
    for kind, names in (("recipes", recipe.names()), ("sweeps", sweep.names()), ("contracts", contract.names())):
        listed = [line.split()[0] for line in invoke(kind, "ls").output.splitlines() if line and line[0] != " "]
        assert listed[1:-1] == names


@pytest.mark.parametrize(
    "arguments",
    [
        *([kind, "ls"] for kind in ("models", "recipes", "sweeps", "contracts", "runs")),
        ["sweeps", "show", "two-conv-dropout"],
        ["contracts", "show", "gap-cnn"],
    ],
)
def test_lists_do_not_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv[0] = 'tinydigits'\nfrom tinydigits.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, *arguments], check=False, capture_output=True).returncode == 0
