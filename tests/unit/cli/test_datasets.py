"""`tinydigits datasets ls|show|cp`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tinydigits import data
from tinydigits.cli.datasets import app


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("TINYDIGITS_DATA", raising=False)
    monkeypatch.setenv("TINYDIGITS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TINYDIGITS_MIRRORS", "http://127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def line_of(output: str, name: str) -> str:
    return next(line for line in output.splitlines() if line.startswith(name))


def test_ls_shows_every_source_with_its_facts():
    output = run("ls")
    for name in data.names():
        info = data.describe(name)
        line = line_of(output, name)
        assert f"{info.num_train:,} + {info.num_test:,}" in line
        assert info.licence in line and f" {len(info.classes)} " in line
    assert "bundled with scikit-learn" in line_of(output, "digits")
    assert "no, will be downloaded" in line_of(output, "kmnist")
    assert "next: tinydigits datasets show" in output


def test_ls_says_where_real_mnist_lies(mnist, monkeypatch):
    monkeypatch.setenv("TINYDIGITS_DATA", str(mnist.folder))
    assert str(mnist.folder) in line_of(run("ls"), "mnist")


def test_ls_shows_a_damaged_set_and_goes_on(monkeypatch, tmp_path):
    monkeypatch.setenv("TINYDIGITS_DATA", str(tmp_path))
    (tmp_path / "kmnist").mkdir()
    (tmp_path / "kmnist" / "train-images-idx3-ubyte.gz").write_text("torn")
    output = run("ls")
    assert "damaged: " in line_of(output, "kmnist")
    assert "no, will be downloaded" in line_of(output, "mnist")


@pytest.mark.parametrize("name", data.names())
def test_show_tells_all(name):
    info = data.describe(name)
    output = run("show", name)
    for fact in (info.title, info.licence, info.homepage, ", ".join(info.classes), *info.mirrors):
        assert fact in output
    assert f"next: tinydigits train --data {name}" in output


def test_cp_writes_the_four_files_and_names_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = run("cp", "digits", "copy")
    written = sorted((tmp_path / "copy").iterdir())
    assert len(written) == 4
    for path in written:
        assert str(path.relative_to(tmp_path)) in output
    assert "next: tinydigits train --data ./copy" in output
    assert len(data.load("./copy", "test")) == 596


def test_user_errors_are_left_to_the_command_line(tmp_path):
    for arguments in (["show", "minst"], ["cp", "minst", str(tmp_path)], ["cp", "kmnist", str(tmp_path)]):
        error = CliRunner().invoke(app, arguments).exception
        assert type(error).__name__ in ("TinydigitsError", "DataUnavailable"), arguments


def test_torch_is_never_imported():
    code = (
        "import sys; from tinydigits.cli.datasets import app; app(['ls'], standalone_mode=False)\n"
        "sys.exit('torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(data.__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
