"""`tinydigits models` and `tinydigits contracts`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tinydigits import contract, models
from tinydigits.cli.main import app
from tinydigits.errors import TinydigitsError


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


def test_models_cp_gives_a_file_that_builds_and_never_overwrites(tmp_path: Path) -> None:
    target = tmp_path / "mine.py"
    assert f"models show {target}:SEResNet" in invoke("models", "cp", "se-resnet", target).output
    assert sum(p.numel() for p in models.build(f"{target}:SEResNet").parameters()) == 17_600
    assert isinstance(invoke("models", "cp", "gap-cnn", target).exception, TinydigitsError)


def test_contracts_ls_show_and_cp(tmp_path: Path) -> None:
    output = invoke("contracts", "ls").output
    assert all(name in output for name in contract.names())
    assert contract.source("under-25k").strip() in invoke("contracts", "show", "under-25k").output
    target = tmp_path / "mine.toml"
    assert f"verify --contract {target}" in invoke("contracts", "cp", "gap-cnn", target).output
    assert contract.load(target).sha256 == contract.load("gap-cnn").sha256
    assert isinstance(invoke("contracts", "cp", "gap-cnn", target).exception, TinydigitsError)


@pytest.mark.parametrize("arguments", [["models", "ls"], ["contracts", "ls"], ["contracts", "show", "gap-cnn"]])
def test_lists_do_not_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys; sys.argv[0] = 'tinydigits'\nfrom tinydigits.cli import main\n"
        "try: main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, *arguments], check=False, capture_output=True).returncode == 0
