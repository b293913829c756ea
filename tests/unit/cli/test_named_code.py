"""A run of the user's own code, in its project: verified as it is until the code changes, and then by naming it."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tinydigits import sweep
from tinydigits.cli.main import app
from tinydigits.errors import Interrupted, TinydigitsError
from tinydigits.models import allowed
from tinydigits.run import open_run
from tinydigits.training import Reporter

MODEL = '''
"""The model."""
from torch import nn
from blocks import SIZE
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(SIZE, 10))
'''
CONTRACT = 'name = "mine"\n[model.parameters]\nmax = 7_850\n'
RECIPE = """contract = "contract.toml"
epochs = 1
model = { name = "model.py:Net" }
data = { source = "digits" }
optimizer = { name = "sgd", lr = 0.1 }
"""


def tinydigits(*words: object, code: int = 0) -> Result:
    """A command as in a process of its own."""
    allowed._allowed.clear()
    answer = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, env={"COLUMNS": "200"})
    assert answer.exit_code == code, answer.output
    return answer


def refused(*words: object, says: str) -> list[str]:
    """The command that the refusal prints."""
    with pytest.raises(TinydigitsError, match=says) as refusal:
        tinydigits(*words)
    program, *command = shlex.split(refusal.value.hint)
    assert program == "tinydigits"
    return command


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run, and the cache of the user who trained it."""
    folder = tmp_path_factory.mktemp("home") / "my project"
    folder.mkdir()
    for name, text in {"model.py": MODEL, "blocks.py": "SIZE = 784\n", "contract.toml": CONTRACT}.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TINYDIGITS_CACHE", str(folder.parent / "cache"))
        tinydigits("train", "recipe.toml")
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, in the same place for each test, which may change it."""
    kept = tmp_path / "kept"
    shutil.copytree(trained.parent, kept, symlinks=True)
    monkeypatch.chdir(trained)
    monkeypatch.setenv("TINYDIGITS_CACHE", str(trained.parent / "cache"))
    yield trained
    shutil.rmtree(trained.parent)
    shutil.copytree(kept, trained.parent, symlinks=True)


def edit(file: str = "model.py") -> None:
    path = Path(file)
    path.write_text(path.read_text(encoding="utf-8") + "# better explained\n", encoding="utf-8")


def test_what_was_trained_here_is_verified_from_everywhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run()
    assert "against mine: holds" in tinydigits("verify").output
    other = project.parent / "other"
    other.mkdir()
    (other / "model.py").write_text("raise SystemExit", encoding="utf-8")  # of another project
    (other / "contract.toml").write_text(CONTRACT.replace("7_850", "1"), encoding="utf-8")
    monkeypatch.chdir(other)
    answer = tinydigits("verify", f"../my project/runs/{run.name}")
    assert "against mine: holds" in answer.output and "code differs" not in answer.output
    record = json.loads((project / "runs" / run.name / "record.json").read_text(encoding="utf-8"))
    recorded = record.pop("code_sha256")
    (project / "runs" / run.name / "record.json").write_text(json.dumps(record), encoding="utf-8")
    answer = tinydigits("verify", f"../my project/runs/{run.name}")  # of an earlier version
    assert recorded and "holds" in answer.output and "whether the code is the run's is not known" in answer.output
    run_again = json.dumps(record | {"code_sha256": recorded})
    (project / "runs" / run.name / "record.json").write_text(run_again, encoding="utf-8")
    shutil.rmtree(project.parent / "cache")  # on another machine
    command = refused("verify", f"../my project/runs/{run.name}", says="names code to run")
    assert command[-2:] == ["--model", "../my project/model.py:Net"]
    assert "code differs" not in tinydigits(*command).output  # it is what the run was trained with
    with pytest.raises(TinydigitsError, match="names no code"):
        tinydigits("verify", "two-conv", "--contract", "contract.toml", "--model", "../my project/model.py:Net")


@pytest.mark.parametrize("file", ["model.py", "blocks.py"])
def test_changed_code_is_named_in_the_command_and_the_verdict_says_so(project: Path, file: str) -> None:
    run = open_run()
    edit(file)
    tinydigits("models", "show", "model.py:Net")
    command = refused("verify", says=f"{file} changed since it was trained")
    assert command == ["verify", f"runs/{run.name}", "--model", "model.py:Net"]
    names = {"json": "v.json", "junit": "v.xml", "markdown": "v.md"}
    answer = tinydigits(*command, *(word for name in names for word in (f"--{name}", names[name])))
    note = f"code differs from the run's: {file}"
    assert "against mine: holds" in answer.output
    assert f"export runs/{run.name} pth --model model.py:Net" in answer.output
    assert json.loads(Path("v.json").read_text(encoding="utf-8"))["target"]["code_differs"] == [file]
    Path("page.md").write_text("<!-- tinydigits: verdict -->\n<!-- end -->\n", encoding="utf-8")
    tinydigits("report", "--readme", "page.md")
    shown = [answer.output, *(path.read_text(encoding="utf-8") for path in map(Path, ("v.xml", "v.md", "page.md")))]
    shown += [(run.folder / name).read_text(encoding="utf-8") for name in ("report.md", "report.html")]
    assert all(note in text.replace("&#39;", "'") for text in shown)
    assert refused("verify", says="changed since") == command  # a yes is for the one command


def test_exports_are_built_by_the_code_that_is_named(project: Path) -> None:
    run = open_run()
    edit()
    command = refused("export", "safetensors", "pth", "--to", "out", says=r"model\.py changed")
    assert command == ["export", f"runs/{run.name}", "safetensors", "pth", "--model", "model.py:Net"]
    answer = tinydigits(*command, "--to", project.parent / "out")
    assert answer.output.count("parity holds") == 2 and "code differs from the run's: model.py" in answer.output


def test_weights_in_a_run_are_of_its_code_and_others_may_be_of_any(project: Path) -> None:
    weights = open_run().file("weights.safetensors")
    shutil.copy(weights, "best.safetensors")
    edit()
    command = refused("verify", weights, "--contract", "contract.toml", says=r"model\.py changed")
    assert "code differs from the run's: model.py" in tinydigits(*command, "--contract", "contract.toml").output
    answer = tinydigits("verify", "best.safetensors", "--contract", "contract.toml")
    assert "whether the code is the run's is not known" in answer.output


def test_a_training_goes_on_with_the_code_that_it_began_with(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(Reporter):
        def on_progress(self, progress: object) -> None:
            raise Interrupted("run", "stopped")

    monkeypatch.setattr("tinydigits.progress.make_reporter", Stop)
    with pytest.raises(Interrupted):
        tinydigits("train", "recipe.toml", "--seed", 1)
    monkeypatch.undo()
    monkeypatch.chdir(project)
    monkeypatch.setenv("TINYDIGITS_CACHE", str(project.parent / "cache"))
    edit()
    command = refused("train", "--resume", "runs/latest", says=r"model\.py changed")
    assert command == ["train", "--resume", str(open_run().folder), "--model", "model.py:Net"]
    assert "--model model.py:Net" in tinydigits(*command).output
    assert open_run().record.status == "finished"
    refused("verify", says=r"model\.py changed")  # it began with the other


def test_only_runs_of_the_same_code_are_seeds_of_one_training(project: Path) -> None:
    Path("contract.toml").write_text("[accuracy]\nsource = 'digits'\nmin = 0.1\nseeds = 2\n", encoding="utf-8")
    edit()
    tinydigits("train", "recipe.toml", "--seed", 1)
    assert "2 seeds would decide, and 1 found" in tinydigits("verify", code=1).output.replace("\n", " ")


def test_a_training_anew_names_the_code_too(project: Path) -> None:
    Path("contract.toml").write_text(CONTRACT + "[training.epochs]\nmax = 1\n", encoding="utf-8")
    edit()
    command = refused("verify", "--retrain", says=r"model\.py changed")
    assert "against mine: holds" in tinydigits(*command).output
    assert open_run().record.code_sha256 == allowed.code_sha256("model.py:Net")


def test_a_baseline_of_the_same_code_is_built_by_the_code_that_is_named(project: Path) -> None:
    contract = "[accuracy.baseline]\nrun = 'runs/latest'\nsource = 'digits'\n"
    Path("contract.toml").write_text(contract, encoding="utf-8")
    edit()
    assert "+0.00 points" in tinydigits(*refused("verify", says=r"model\.py changed")).output
    answer = tinydigits("verify", "two-conv", "--contract", "contract.toml", "--set", "dropout=0", code=1)
    assert "not run" in answer.output


def test_a_teacher_is_of_the_code_that_it_was_trained_with(project: Path) -> None:
    words = ("train", "two-conv", "--data", "digits", "--epochs", 1, "--set", "distil.teachers=['./runs/latest']")
    shutil.rmtree(project.parent / "cache")
    teacher = f"runs/{open_run().name}"
    assert refused(*words, says="names code to run") == ["verify", teacher, "--model", "model.py:Net"]
    edit()
    with pytest.raises(TinydigitsError, match=r"model\.py changed since.*\n  try: the code as it was"):
        tinydigits(*words)


def test_a_study_is_joined_by_naming_its_code(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = sweep.create(sweep.check({"name": "mine", "recipe": "recipe.toml", "seeds": 2}))
    monkeypatch.setattr("tinydigits.cli.sweep._work", lambda *facts: None)
    tinydigits("sweep", "join", study.folder)
    shutil.rmtree(project.parent / "cache")
    command = refused("sweep", "join", study.folder, says="names code to run")
    assert command == ["sweep", "join", str(study.folder), "--model", "model.py:Net"]
    tinydigits(*command)


def test_a_models_path_may_have_any_letter() -> None:
    with pytest.raises(TinydigitsError, match=r'no file it"s 😀\.py'):
        tinydigits("train", "digits", "--model", 'it"s 😀.py:Net')
