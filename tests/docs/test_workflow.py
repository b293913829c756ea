"""The project's own workflows: valid by GitHub's schema, and they do what README and docs say that they do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tinydigits import contract, recipe

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".github" / "workflows" / "ci.yml"
WORKFLOWS = sorted(FILE.parent.iterdir())


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return YAML(typ="safe").load(FILE.read_text(encoding="utf-8"))


def steps_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    return job["steps"]


def runs(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in steps_of(job) if "run" in step]


def place(job: dict[str, Any], words: str) -> int:
    """The number of the step whose command has these words."""
    return next(number for number, step in enumerate(steps_of(job)) if words in step.get("run", ""))


def test_every_workflow_is_valid_by_githubs_schema() -> None:
    assert {file.name for file in WORKFLOWS} == {"audit.yml", "ci.yml", "nightly.yml"}
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*command, *WORKFLOWS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_runs_on_pushes_and_pull_requests_to_main(workflow: dict[str, Any]) -> None:
    assert workflow["on"] == {"push": {"branches": ["main"]}, "pull_request": {"branches": ["main"]}}


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_it_may_only_read(file: Path) -> None:
    workflow = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert not [name for name, job in workflow["jobs"].items() if "permissions" in job]
    assert "secrets." not in file.read_text(encoding="utf-8"), "a fork has no secrets"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_no_job_runs_for_ever_and_every_action_names_its_version(file: Path) -> None:
    for job in YAML(typ="safe").load(file.read_text(encoding="utf-8"))["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in steps_of(job):
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/any@v1"))


def test_the_local_pipeline_runs_on_every_python_that_the_package_names(workflow: dict[str, Any]) -> None:
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", metadata)
    job = workflow["jobs"]["pipeline"]
    assert job["strategy"]["matrix"]["python"] == named and len(named) >= 3
    assert job["container"]["image"] == "python:${{ matrix.python }}-bookworm"  # Debian, for the script's packages
    step = steps_of(job)[place(job, ".ci/run")]
    assert step["run"] == "bash .ci/run" and "if" not in step and not step.get("continue-on-error")
    assert "TINYDIGITS_REQUIRE" not in FILE.read_text(encoding="utf-8"), "the script says what must be there"


def test_the_pipeline_requires_every_component_that_a_test_may_lack() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (required,) = re.findall(r"^export TINYDIGITS_REQUIRE=([\w,]+)", script, re.M)
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    assert set(required.split(",")) == {name for text in files for name in re.findall(r"\babsent\(\"(\w+)\"", text)}


def test_style_and_types_are_checked() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"$(BIN)/{tool}" in makefile for tool in ("ruff check", "ruff format --check", "mypy"))


def test_packages_and_data_are_kept_from_run_to_run(workflow: dict[str, Any]) -> None:
    for job in workflow["jobs"].values():
        uses = {step["uses"].partition("@")[0]: step.get("with", {}) for step in steps_of(job) if "uses" in step}
        (patterns,) = re.findall(r"hashFiles\((.+?)\)", uses["actions/cache"]["key"])
        found = [list(ROOT.glob(pattern)) for pattern in re.findall(r"'(.+?)'", patterns)]
        assert all(found), "the key follows the hashes that the sources state"
    pipeline, train = (workflow["jobs"][name] for name in ("pipeline", "train"))
    kept = steps_of(pipeline)[1]["with"]["path"].split()
    assert kept == ["~/.cache/pip", steps_of(pipeline)[place(pipeline, ".ci/run")]["env"]["TINYDIGITS_DATA"]]
    assert "TINYDIGITS_CACHE" in train["env"]


def test_every_recipe_of_the_train_job_exists_and_its_verdict_decides(workflow: dict[str, Any]) -> None:
    job = workflow["jobs"]["train"]
    names = job["strategy"]["matrix"]["recipe"]
    assert {recipe.load(name).model.name for name in names} == {
        "four-conv", "gap-cnn", "rf29-cnn", "se-resnet", "six-conv", "two-conv"
    }  # fmt: skip
    assert recipe.DEFAULT in names
    assert all(recipe.load(name).contract in contract.names() for name in names)
    train, verify = place(job, "tinydigits train"), place(job, "tinydigits verify")
    assert train < verify
    for number in (train, verify):
        step = steps_of(job)[number]
        assert "if" not in step and not step.get("continue-on-error"), "a failing verdict fails the job"
        assert not re.search(r"\|\||;|\bset \+e", step["run"])
    assert not job.get("continue-on-error")


def test_the_report_is_the_summary_and_weights_and_report_are_kept(workflow: dict[str, Any]) -> None:
    job = workflow["jobs"]["train"]
    summary = steps_of(job)[place(job, '>> "$GITHUB_STEP_SUMMARY"')]
    assert "report.md" in summary["run"] and summary["if"] == "${{ !cancelled() }}"
    (kept,) = [step for step in steps_of(job) if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert kept["with"]["path"] == "runs/*_s0/"  # a run's whole folder: weights, report, pictures, verdict
    assert kept["with"]["if-no-files-found"] == "error" and kept["if"] == "${{ !cancelled() }}"


def test_every_reader_is_fuzzed_each_night() -> None:
    file = FILE.with_name("nightly.yml")
    workflow = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    assert re.fullmatch(r"\d+ \d+ \* \* \*", workflow["on"]["schedule"][0]["cron"]), "once a day"
    job = workflow["jobs"]["fuzz"]
    step = steps_of(job)[place(job, "make fuzz")]
    assert step["run"] == "make fuzz" and "if" not in step and job["env"]["LOCKED"] == 1
    assert "benchmarks reliability measure fuzz" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_the_readme_has_the_badge() -> None:
    assert f"actions/workflows/{FILE.name}/badge.svg" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_local_pipeline_asks_for_the_same() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for words in ("make test", "make lint", "make train", "datasets cp mnist", "../shared/mnist"):
        assert words in script
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
    subprocess.run(["sh", "-n", str(ROOT / "tools" / "install")], check=True)
