"""`tinydigits new` as a new user tries it: the wheel installed, no network, an empty folder, four commands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tinydigits.errors import TinydigitsError
from tinydigits.report import fill_readme
from tinydigits.run import Run
from tinydigits.scaffold import data_sets, new
from tinydigits.verdict import load

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Environment

ROOT = Path(__file__).parents[2]
NO_NETWORK = {"TINYDIGITS_MIRRORS": "http://127.0.0.1:9", "TINYDIGITS_DATA": ""}


def shell(command: str, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, shell=True, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def project(installed: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From an empty folder to a green verdict in four commands, by real handwriting that needs no download."""
    folder = tmp_path_factory.mktemp("empty")
    environment = installed.variables(TINYDIGITS_CACHE=str(folder / "cache"), **NO_NETWORK)
    four = "tinydigits new my-net --data digits && cd my-net && tinydigits train recipe.toml && tinydigits verify"
    done = shell(four, folder, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"_my-net_s0 against my-net: holds \(15 pass\)", done.stdout)
    assert {path.name for path in folder.iterdir()} <= {"my-net", "cache"}
    return folder / "my-net"


def test_the_readme_is_filled_from_the_verdict_and_only_between_its_markers(
    project: Path, installed: Environment
) -> None:
    page = project / "README.md"
    before = page.read_text(encoding="utf-8")
    assert before.startswith("# my-net\n") and "Nothing has been measured yet." in before
    for _ in range(2):  # a second time changes nothing
        done = shell("tinydigits report --readme README.md", project, installed.variables())
        assert done.returncode == 0, done.stderr
        after = page.read_text(encoding="utf-8")
        for finding in load(project / "runs" / "latest" / "verdict.json").findings:
            assert f"| {finding.check} | {finding.measured} |" in after
        assert "my-net: **holds** (15 pass)." in after and "Nothing has been measured" not in after
        assert "Trained by `tinydigits train recipe.toml " in after
        assert after.partition("<!--")[0] == before.partition("<!--")[0]
        assert after.count("<!-- end -->") == 1


def test_what_pip_is_given_says_what_to_write_and_looks_no_name_up(project: Path, installed: Environment) -> None:
    """A wheel that was installed from a file is nowhere for another machine, and PyPI's `tinydigits` anyone's."""
    page = project / "requirements.txt"
    variables = installed.variables(PIP_INDEX_URL="http://[::1]:9")
    done = shell("pip install --dry-run -r requirements.txt", project, variables)
    assert done.returncode != 0 and "[::1]:9" not in done.stdout + done.stderr
    lines = page.read_text(encoding="utf-8").splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("tinydigits @ <"))
    assert f"Invalid requirement: '{lines[number]}'" in done.stderr and f"from line {number + 1} of " in done.stderr
    (wheel,) = installed.folder.parent.glob("*.whl")
    lines[number] = f"tinydigits @ {wheel.as_uri()}"  # as the lines above it say
    page.write_text("\n".join(lines), encoding="utf-8")
    done = shell("pip install --dry-run --no-index -r requirements.txt", project, variables)
    assert done.returncode == 0, done.stderr


def test_the_command_for_an_extra_works(tmp_path: Path, installed: Environment) -> None:
    program = "from tinydigits.origin import install_hint; print(install_hint('serve'))"
    command = shell(f'python -c "{program}"', tmp_path, installed.variables()).stdout.strip()
    assert command.startswith("pip install 'tinydigits[serve] @ file://")
    done = shell(f"{command} --dry-run --no-index", tmp_path, installed.variables())
    assert done.returncode == 0 and "fastapi" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("data", data_sets())
def test_no_file_points_to_what_an_installed_user_lacks(data: str, tmp_path: Path) -> None:
    for path in new(tmp_path / "net", data):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bdocs/|\]\((?!http)", text), path
        for words in re.findall(r"`tinydigits ([a-z]+ show [\w-]+)`", text):
            command = [sys.executable, "-m", "tinydigits", *words.split()]
            assert subprocess.run(command, capture_output=True, check=False).returncode == 0, words


def test_its_tests_pass_and_fail_with_the_contract(project: Path, installed: Environment) -> None:
    tests = (project / "test_contract.py").read_text(encoding="utf-8")
    assert len(tests.splitlines()) == 3
    assert f"```python\n{tests}```" in (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
    # The cache that the training had: it knows that the user named model.py.
    environment = installed.variables(TINYDIGITS_CACHE=str(project.parent / "cache"))
    done = shell("python -m pytest -p no:cacheprovider -W error", project, environment)
    assert done.returncode == 0 and "15 passed" in done.stdout, done.stdout + done.stderr
    contract = project / "contract.toml"
    text = contract.read_text(encoding="utf-8")
    try:
        contract.write_text(text.replace("max = 9_999", "max = 5_000"), encoding="utf-8")
        done = shell("python -m pytest -p no:cacheprovider -k parameters", project, environment)
    finally:
        contract.write_text(text, encoding="utf-8")
    assert done.returncode == 1 and "What to do: 1,274 too many; features.8 (conv) holds 4,608" in done.stdout


def test_on_mnist_too_one_epoch_is_enough(tmp_path: Path, installed: Environment, mnist: object) -> None:
    """What `tinydigits new` writes when nothing is said; `mnist` sees to it that the images are there."""
    four = "tinydigits new . && tinydigits train recipe.toml --threads 1 && tinydigits verify"
    done = shell(four, tmp_path, installed.variables())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "holds (15 pass)" in done.stdout


@pytest.mark.parametrize("data", data_sets())
def test_what_is_written_is_valid_and_formatted(data: str, tmp_path: Path) -> None:
    folder = tmp_path / 'my "odd" net'
    written = new(folder, data)
    assert sorted(written) == sorted(path for path in folder.rglob("*") if path.is_file())
    assert not [path for path in written if re.search(r"@[a-z]+@", path.read_text(encoding="utf-8"))]
    assert tomllib.loads((folder / "contract.toml").read_text(encoding="utf-8"))["name"] == "my-odd-net"
    for command in (
        ["ruff", "check", "--line-length", "120", folder],
        ["ruff", "format", "--check", "--line-length", "120", folder],
        [
            "check_jsonschema",
            "--builtin-schema",
            "vendor.github-workflows",
            folder / ".github/workflows/tinydigits.yml",
        ],
    ):
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    model = (folder / "model.py").read_text(encoding="utf-8")
    assert "the maximum of each channel" in model and "nn.AdaptiveMaxPool2d(1)" in model
    assert "source = " + json.dumps(data) in (folder / "recipe.toml").read_text(encoding="utf-8")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(TinydigitsError, match="not an empty folder"):
        new(tmp_path)
    with pytest.raises(TinydigitsError, match=r"unknown data set 'mnits'[^\n]*\n  try: mnist"):
        new(tmp_path / "net", "mnits")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_readme_without_a_place_or_a_run_without_a_verdict_is_told(project: Path) -> None:
    run = Run(project / "runs" / "latest")
    with pytest.raises(TinydigitsError, match="has no place for a verdict"):
        fill_readme("# a page\n<!-- end -->\n", run)
    page = "<!-- tinydigits: verdict -->\nwhat was there\n<!-- end -->\n"
    assert "what was there" not in fill_readme(page, run)
    weights = run.folder / "weights.safetensors"
    kept = weights.read_bytes()
    try:
        weights.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        with pytest.raises(TinydigitsError, match="has no verdict of these weights"):
            fill_readme(page, run)
    finally:
        weights.write_bytes(kept)
