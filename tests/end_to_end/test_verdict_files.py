"""`tinydigits verify` as CI uses it: files, standard output, and what GitHub's runner takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.conftest import HOSTILE
from tests.end_to_end.github_runner import commands_of
from tinydigits.report import formats


def verify(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    outside = {key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")}
    command = [sys.executable, "-m", "tinydigits", "verify", *arguments]
    return subprocess.run(command, cwd=cwd, env=outside | environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def tight(tmp_path: Path) -> Path:
    """A contract that two-conv, with 13,242 parameters and no BatchNorm, does not hold to."""
    text = "[model]\nparameters = { max = 13_000 }\nlayers = { require = ['batch_norm'] }\n[shapes]\noutput = true\n"
    (tmp_path / "tight.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_one_verdict_in_all_files_and_its_advice_on_the_screen(tight: Path) -> None:
    options = [f"--{name}={name}.out" for name in formats() if name != "annotations"]
    assert len(options) == 4
    answer = verify("two-conv", "--contract", "tight.toml", *options, cwd=tight)
    assert answer.returncode == 1, answer.stderr
    advice = "model.parameters: 242 too many; head.1 (linear) holds 12,576 of 13,242."
    assert advice in answer.stdout and "model.layers: Add batch_norm." in answer.stdout
    tree = json.loads((tight / "json.out").read_text(encoding="utf-8"))
    assert tree["findings"][0]["advice"] in answer.stdout.replace("\n", " ").replace("  ", " ")
    suite = ElementTree.parse(tight / "junit.out").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    assert "- **model.layers**: Add batch_norm." in (tight / "markdown.out").read_text(encoding="utf-8")
    assert "does not hold, 13,242 parameters" in (tight / "badge.out").read_text(encoding="utf-8")
    assert "::error" not in answer.stdout


def test_a_format_on_standard_output_stands_there_alone(tight: Path) -> None:
    answer = verify("two-conv", "--contract", "tight.toml", "--json", "-", cwd=tight, GITHUB_ACTIONS="true")
    assert answer.returncode == 1 and json.loads(answer.stdout)["verdict"] == "does not hold"
    assert "what to do" in answer.stderr and "::error title=tinydigits%3A model.parameters::" in answer.stderr
    both = verify("two-conv", "--contract", "tight.toml", "--json", "-", "--junit", "-", cwd=tight)
    assert both.returncode == 2 and "standard output is taken by --json" in both.stderr


def test_github_gets_summary_outputs_and_annotations(tight: Path) -> None:
    (tight / "summary").write_text("what was there\n", encoding="utf-8")
    files = {"GITHUB_STEP_SUMMARY": str(tight / "summary"), "GITHUB_OUTPUT": str(tight / "output")}
    command = ["two-conv", "--contract", "tight.toml"]
    answer = verify(*command, "--json", "before.json", cwd=tight, GITHUB_ACTIONS="true", **files)
    assert answer.returncode == 1
    assert answer.stdout.count("::error title=tinydigits%3A ") == 2
    summary = (tight / "summary").read_text(encoding="utf-8")
    assert summary.startswith("what was there\n### two-conv against tight: does not hold\n")
    assert (tight / "output").read_text(encoding="utf-8") == "verdict=does not hold\n"

    (tight / "tight.toml").write_text("[model]\nparameters = { max = 13_242 }\n", encoding="utf-8")
    answer = verify(*command, "--compare", "before.json", cwd=tight, GITHUB_ACTIONS="true", **files)
    assert answer.returncode == 0 and "::error" not in answer.stdout
    assert "| model.parameters | 13,242 | 13,242, fail |" in (tight / "summary").read_text(encoding="utf-8")


def test_what_a_model_prints_names_and_raises_paints_no_verdict_and_gives_no_command(tight: Path) -> None:
    (tight / "net.py").write_text(
        f"""
from torch import nn
HOSTILE = {HOSTILE!r}.replace(".", " ")
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module(HOSTILE, nn.Linear(784, 10, bias=False))
        self.spare = nn.Linear(300, 100)
    def forward(self, x):
        print("::error::printed by the model", "##[error]and once more", flush=True)
        if self.training:
            raise ValueError(HOSTILE)
        return self._modules[HOSTILE](x.flatten(1))
"""
    )
    text = "[model]\nparameters = { max = 13_000 }\n[behaviour]\ngradients = true\nfinite = true\n"
    (tight / "tight.toml").write_text(f'name = "x: holds (9 pass)"\n{text}', encoding="utf-8")
    answer = verify("net.py:Net", "--contract", "tight.toml", cwd=tight, GITHUB_ACTIONS="true")
    assert answer.returncode == 1, answer.stderr
    note, *errors = [(name, found["title"]) for name, found, _ in commands_of(answer.stdout)]
    assert note == ("notice", "tinydigits")  # of the sandbox
    assert errors == [("error", f"tinydigits: {check}") for check in ("model.parameters", "behaviour.gradients")]
    lines = [line.strip() for line in answer.stdout.splitlines()]
    assert 'net.py:Net against "x: holds (9 pass)": does not hold (1 pass, 1 fail, 1 not run)' in lines
    assert "\x1b" not in answer.stdout and not any(line.startswith("Net against small") for line in lines)


def test_what_cannot_be_written_or_compared_is_told_with_its_name(tight: Path) -> None:
    small = ["two-conv", "--contract", "tight.toml"]
    missing = verify(*small, "--compare", "nowhere.json", cwd=tight)
    assert missing.returncode == 2 and "verdict nowhere.json: no such file" in missing.stderr
    unwritable = verify(*small, "--badge", "no/such/folder.svg", cwd=tight)
    assert unwritable.returncode == 2 and "no/such/folder.svg: cannot write" in unwritable.stderr


def test_output_goes_to_what_stands_at_the_path(tight: Path) -> None:
    os.mkfifo(tight / "pipe")
    # Links to devices, not the devices' own names: a fault here must not cost root its /dev.
    links = {"link.svg": "real.svg", "stdout": "/dev/stdout", "null": "/dev/null"}
    for name, target in links.items():
        (tight / name).symlink_to(target)
    pipe = os.open(tight / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    files = {"--json": "pipe", "--markdown": "stdout", "--junit": "null", "--badge": "link.svg"}
    options = [word for pair in files.items() for word in pair]
    answer = verify("two-conv", "--contract", "tight.toml", *options, cwd=tight)
    with os.fdopen(pipe, encoding="utf-8") as reader:
        assert json.load(reader)["verdict"] == "does not hold"
    assert answer.returncode == 1, answer.stderr
    table, markdown = answer.stdout.split("### two-conv against tight: does not hold\n")
    assert "what to do" in table and "| model.parameters | 13,242 |" in markdown
    assert (tight / "pipe").is_fifo() and {name: str((tight / name).readlink()) for name in links} == links
    assert "<svg" in (tight / "real.svg").read_text(encoding="utf-8")
