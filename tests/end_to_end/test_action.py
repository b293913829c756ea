"""The GitHub Action, and the workflow of a new project: their steps are run, in throwaway repositories."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.github_runner import Job, Runner, evaluate, expand, read_yaml
from tinydigits.scaffold import new
from tinydigits.verdict import Finding, JudgedContract, JudgedTarget, Verdict

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Environment

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
USES = "somebody/tinydigits@main"
OFFLINE = {"TINYDIGITS_MIRRORS": "http://127.0.0.1:9", "TINYDIGITS_DATA": "", "OMP_NUM_THREADS": "1"}
# pip then installs the action's own folder, and nothing from anywhere else.
NO_INDEX = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}

MODEL = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 10))
"""
CONTRACT = """
[model]
parameters = { max = 10_000 }
[shapes]
output = true
"""
WORKFLOW = f"""
on: [push, pull_request]
permissions:
  contents: read
jobs:
  verify:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - uses: {USES}
        with:
          target: model.py:Net
          contract: contract.toml
"""


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=somebody", "-c", "user.email=somebody@example.org", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def commit(folder: Path, files: dict[str, str], branch: str) -> None:
    """Write files and commit them on a branch, made where it is not there."""
    if not (folder / ".git").exists():
        folder.mkdir(exist_ok=True)
        git(folder, "init", "--quiet", "--initial-branch", branch)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "checkout", "--quiet", "-B", branch)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "change")


def check_schema(kind: str, path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.github-{kind}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_is_valid_by_githubs_schema_asks_for_no_token_and_puts_no_input_into_a_script() -> None:
    check_schema("actions", ACTION)
    text = ACTION.read_text(encoding="utf-8")
    assert not re.search(r"secrets\.|github\.token|GITHUB_TOKEN", text)
    for step in read_yaml(ACTION)["runs"]["steps"]:
        assert "${{" not in step.get("run", ""), "an input in a script is a command of whoever opens a pull request"
        assert re.fullmatch(r"actions/[a-z/-]+@v\d+", step.get("uses", "actions/any@v1"))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("""printf '{\\n  "verdict": "holds",\\n}' >verdict.json""", 0),
        ("exit 0", 2),  # as of a model that ends the process by os._exit(0)
        ("""printf '{\\n  "verdict": "undecided",\\n}' >verdict.json""", 2),
        ("exit 1", 1),
    ],
)
def test_the_step_fails_unless_a_verdict_that_holds_was_written(command: str, code: int, tmp_path: Path) -> None:
    """Beside what an earlier step left."""
    (files := tmp_path / "files").mkdir()
    (files / "verdict.json").write_text('{\n  "verdict": "holds",\n}', encoding="utf-8")
    program = tmp_path / "bin" / "tinydigits"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncd '{files}'\n{command}\n", encoding="utf-8")
    program.chmod(0o755)
    (step,) = (step for step in read_yaml(ACTION)["runs"]["steps"] if step.get("id") == "verify")
    named = dict.fromkeys(("TARGET", "CONTRACT", "WEIGHTS", "DATA", "BASELINE", "MAIN"), "")
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], capture_output=True, text=True,
        env=named | {"PATH": path, "FILES": str(files)}, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert ("::error title=tinydigits::" in done.stdout) == (code == 2)


def test_every_input_of_the_action_is_used_and_documented() -> None:
    page = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    for name in read_yaml(ACTION)["inputs"]:
        assert f"inputs.{name} " in ACTION.read_text(encoding="utf-8"), name
        assert f"| `{name}` |" in page, name


def test_the_workflow_of_the_documentation_is_valid_and_gives_inputs_that_there_are(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "ci.md").read_text(encoding="utf-8"), re.S)
    path = tmp_path / "ci.yml"
    path.write_text(block, encoding="utf-8")
    check_schema("workflows", path)
    step = read_yaml(path)["jobs"]["verify"]["steps"][-1]
    assert step["uses"].endswith("/tinydigits@main") and step["with"].keys() <= read_yaml(ACTION)["inputs"].keys()


def test_one_line_verifies_a_model_and_pull_requests_show_the_change_since_main(
    tmp_path: Path, bare: Environment
) -> None:
    repository, cache = tmp_path / "repository", tmp_path / "cache"
    cache.mkdir()
    commit(
        repository,
        {".github/workflows/ci.yml": WORKFLOW, "contract.toml": CONTRACT, "model.py": MODEL.replace("WIDTH", "8")},
        "main",
    )
    runner = Runner(repository, cache, bare.variables(**OFFLINE, **NO_INDEX), {USES: ROOT})

    def run(name: str, **facts: str) -> Job:
        return runner.run(tmp_path / name, ".github/workflows/ci.yml", **facts)

    pushed = run("push")
    assert pushed.ok, pushed.log
    assert "### model.py:Net against contract: holds" in pushed.summary and "| before |" not in pushed.summary
    assert (bare.folder / "bin" / "tinydigits").is_file(), "the action installed itself"

    commit(repository, {"model.py": MODEL.replace("WIDTH", "16")}, "wider")
    asked = run("pull_request", branch="wider", ref="refs/pull/1/merge")
    assert not asked.ok
    assert "| model.parameters | 12,730 | 6,370 (+6,360), pass | at most 10,000 | **fail** |" in asked.summary
    assert "::error file=model.py,title=tinydigits%3A model.parameters::fail: 12,730" in asked.log
    kept = asked.folder / "artifacts" / "tinydigits-verdict"
    assert {path.name for path in kept.iterdir()} == {"verdict.json", "junit.xml", "verdict.md", "badge.svg"}
    assert json.loads((kept / "verdict.json").read_text(encoding="utf-8"))["verdict"] == "does not hold"
    assert "Keep the main branch's verdict" in pushed.names and "Keep the main branch's verdict" not in asked.names

    # The pull request left nothing that the next one is compared with.
    commit(repository, {"model.py": MODEL.replace("WIDTH", "9")}, "slimmer")
    assert "6,370 (+795)" in run("another", branch="slimmer", ref="refs/pull/2/merge").summary


def test_a_committed_baseline_a_recipe_and_a_folder_are_inputs_too(tmp_path: Path, bare: Environment) -> None:
    lines = {"target": "", "recipe": "recipe.toml", "baseline": "baseline.json", "working-directory": "net"}
    inputs = "".join(f"          {name}: '{value}'\n" for name, value in lines.items() if value)
    workflow = WORKFLOW.partition("          target")[0] + inputs + "          contract: contract.toml\n"
    recipe = (
        "epochs = 1\n[model]\nname = 'model.py:Net'\n[data]\nsource = 'digits'\nbatch_size = 100\n"
        "[optimizer]\nname = 'sgd'\nlr = 0.1\n[schedule]\nname = 'constant'\n"
    )
    before = Verdict(
        target=JudgedTarget(kind="run", name="net"), contract=JudgedContract(name="contract", sha256="0", text=""),
        findings=(Finding("model.parameters", "pass", "6,000", value=6_000),),
    )  # fmt: skip
    files = {
        "model.py": MODEL.replace("WIDTH", "8"),
        "contract.toml": CONTRACT,
        "recipe.toml": recipe,
        "baseline.json": before.to_json(),
    }
    repository = tmp_path / "repository"
    (tmp_path / "cache").mkdir()
    commit(
        repository,
        {".github/workflows/ci.yml": workflow, **{f"net/{name}": text for name, text in files.items()}},
        "main",
    )
    runner = Runner(repository, tmp_path / "cache", bare.variables(**OFFLINE, **NO_INDEX), {USES: ROOT})
    job = runner.run(tmp_path / "job", ".github/workflows/ci.yml")
    assert job.ok, job.log
    assert "digits: " in job.log and re.search(r"### \d{8}_\d{6}_recipe_s0 against contract: holds", job.summary)
    assert "| model.parameters | 6,370 | 6,000 (+370) |" in job.summary


def test_the_workflow_of_a_new_project_trains_verifies_and_tests(tmp_path: Path, installed: Environment) -> None:
    repository = tmp_path / "repository"
    new(repository, "digits")
    workflow = ".github/workflows/tinydigits.yml"
    check_schema("workflows", repository / workflow)
    (repository / "requirements.txt").write_text("tinydigits\n", encoding="utf-8")  # the one that is installed
    commit(repository, {}, "main")
    (tmp_path / "cache").mkdir()
    runner = Runner(repository, tmp_path / "cache", installed.variables(**OFFLINE, **NO_INDEX))
    job = runner.run(tmp_path / "job", workflow)
    assert job.ok, job.log
    assert "against repository: holds" in job.summary and "15 passed" in job.log
    kept = {path.name for path in (job.folder / "artifacts" / "verdict").rglob("*")}
    assert {"verdict.json", "junit.xml", "badge.svg", "weights.safetensors", "report.md"} <= kept


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("inputs.a-b != '' && !cancelled()", True),
        ("inputs.none == ''", True),
        ("github.ref == format('refs/{0}', 'x')", True),
        ("'a && b'", "a && b"),
        ("success() && inputs.none", ""),
    ],
)
def test_the_runner_reads_expressions_as_github_does(expression: str, value: object, tmp_path: Path) -> None:
    job = Job(Runner(tmp_path, tmp_path, {}), tmp_path, {})
    values = {"inputs": {"a-b": "1"}, "github": {"ref": "refs/x"}}
    assert evaluate(expression, values, job) == value
    assert expand(f"[${{{{ {expression} }}}}]", values, job) == f"[{value}]"
