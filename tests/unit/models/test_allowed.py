"""Code that a file names is run only where the user has named the very same code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinydigits import models
from tinydigits.errors import TinydigitsError
from tinydigits.models import allowed

NET = """
from pathlib import Path
from torch import nn
from blocks import Head
(Path(__file__).parent / "mark").touch()
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), Head())
"""
BLOCKS = """
from torch import nn
from parts.linear import *
class Head(nn.Linear):
    def __init__(self):
        super().__init__(784, 10)
"""


def another_process() -> None:
    allowed._allowed.clear()


@pytest.fixture(autouse=True)
def _nothing_was_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TINYDIGITS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(allowed, "_allowed", set())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A model's file, what it imports, and weights that name it; they were made by a process of a stranger's."""
    folder = tmp_path / "pro ject"
    (folder / "parts").mkdir(parents=True)
    (folder / "net.py").write_text(NET, encoding="utf-8")
    (folder / "blocks.py").write_text(BLOCKS, encoding="utf-8")
    (folder / "parts" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "parts" / "linear.py").write_text("from . import sizes\n", encoding="utf-8")
    (folder / "parts" / "sizes.py").write_text("", encoding="utf-8")
    (folder / "unused.py").write_text("", encoding="utf-8")
    code = (
        "from pathlib import Path; from tinydigits import models; "
        "card = models.WeightsCard(model='net.py:Net', source='x', classes=list('0123456789'), mean=0.1, std=0.3); "
        "Path('weights.safetensors').write_bytes(models.weights_bytes(models.build('net.py:Net'), card))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)
    (folder / "mark").unlink()
    return folder


def was_run(project: Path) -> bool:
    return (project / "mark").exists()


def test_code_that_weights_name_is_not_run(project: Path) -> None:
    path = project / "weights.safetensors"
    command = f"tinydigits verify '{path}'"
    found = os.path.relpath(project / "net.py")  # beside the weights, as it is seen from here
    with pytest.raises(TinydigitsError, match=r"names code to run, net\.py:Net") as refusal:
        models.open_weights(path, command=command)
    assert refusal.value.hint == f"{command} --model '{found}:Net'" and not was_run(project)
    models.load_weights(path, spec=f"{found}:Net")  # the user's own word
    assert was_run(project)


def test_code_that_was_trained_here_is_run_until_any_of_its_files_changes(project: Path) -> None:
    path, spec = project / "weights.safetensors", f"{project}/net.py:Net"
    allowed.allow(spec, lasting=True)
    recorded = models.code_sha256(spec)
    files = ("net.py", "blocks.py", "parts/__init__.py", "parts/linear.py", "parts/sizes.py")
    assert recorded is not None and recorded.keys() == set(files)
    another_process()
    assert models.open_weights(path, recorded=recorded)[2].changed == ()
    (project / "unused.py").write_text("1", encoding="utf-8")
    for name in files:
        another_process()
        models.open_weights(path, recorded=recorded)
        another_process()
        before = (project / name).read_text(encoding="utf-8")
        (project / name).write_text(before + "# changed\n", encoding="utf-8")
        (project / "mark").unlink()
        with pytest.raises(TinydigitsError, match=f"{name} changed since it was trained"):
            models.open_weights(path, recorded=recorded)
        with pytest.raises(TinydigitsError, match="names code to run"):  # it does not say what it was trained with
            models.open_weights(path)
        allowed.allow(spec, lasting=True)  # other weights were trained with it: these were not
        with pytest.raises(TinydigitsError, match=f"{name} changed since it was trained"):
            models.open_weights(path, recorded=recorded)
        assert not was_run(project)
        assert models.open_weights(path, named=spec, recorded=recorded)[2].changed == (name,)
        assert models.open_weights(path)[2].changed is None
        (project / name).write_text(before, encoding="utf-8")


def test_two_projects_have_each_their_own_neighbours(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(project, other)
    (other / "blocks.py").write_text(BLOCKS.replace("10)", "10, bias=False)"), encoding="utf-8")
    (other / "random.py").write_text(
        "import parts\nraise RuntimeError('not the random that is meant')", encoding="utf-8"
    )
    (other / "net.py").write_text(NET + "import random\n", encoding="utf-8")
    sizes = [len(list(models.build(f"{folder}/net.py:Net").parameters())) for folder in (project, other, project)]
    assert sizes == [2, 1, 2]


def test_another_class_of_the_same_file_is_other_code(project: Path) -> None:
    recorded = models.code_sha256(f"{project}/net.py:Net")
    other = models.choose_code("net.py:Net", "w", named=f"{project}/net.py:Head", recorded=recorded)
    assert other.changed == (f"{project}/net.py:Head in place of net.py:Net",)
    (project / "net.py").rename(project / "renamed.py")
    assert models.choose_code("net.py:Net", "w", named=f"{project}/renamed.py:Net", recorded=recorded).changed == ()
    with pytest.raises(TinydigitsError, match=r"its model is net\.py:Net, and there is no such file beside it"):
        models.choose_code("net.py:Net", "w", beside=project, recorded=recorded)


def test_of_several_files_the_one_that_was_trained_is_meant(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = models.code_sha256(f"{project}/net.py:Net")
    here = tmp_path / "here"
    for folder, text in ((here, "# of another project"), (project / "runs", "# in between")):
        folder.mkdir()
        (folder / "net.py").write_text(text, encoding="utf-8")
        allowed.allow(f"{folder}/net.py:Net", lasting=True)
    allowed.allow(f"{project}/net.py:Net", lasting=True)
    another_process()
    monkeypatch.chdir(here)
    found = models.choose_code("net.py:Net", "w", beside=project / "runs" / "a", recorded=recorded)
    assert found == allowed.Code("../pro ject/net.py:Net", ())
    monkeypatch.chdir(project)
    assert models.choose_code("net.py:Net", "w", beside=project / "runs" / "a", recorded=recorded).spec == "net.py:Net"


def test_the_same_content_elsewhere_is_other_code(project: Path, tmp_path: Path) -> None:
    allowed.allow(f"{project}/net.py:Net", lasting=True)
    another_process()
    project.rename(tmp_path / "moved")
    with pytest.raises(TinydigitsError, match="names code to run"):
        models.open_weights(tmp_path / "moved" / "weights.safetensors")


def test_a_package_is_known_by_all_of_it_that_its_import_would_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "house" / "room"
    package.mkdir(parents=True)
    for place in (package.parent, package):
        (place / "__init__.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')", encoding="utf-8")
    (package / "net.py").write_text("import torch\nfrom ..parts import part", encoding="utf-8")
    (package.parent / "parts").mkdir()  # without __init__.py
    (package.parent / "parts" / "part.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TinydigitsError, match="names code to run"):
        models.choose_code("house.room.net:Net", "w")
    allowed.allow("house.room.net:Net", lasting=True)
    recorded = models.code_sha256("house.room.net:Net")
    files = {"house/__init__.py", "house/room/__init__.py", "house/room/net.py", "house/parts/part.py"}
    assert recorded is not None and recorded.keys() == files
    another_process()
    assert models.choose_code("house.room.net:Net", "w", recorded=recorded).changed == ()
    (package.parent / "parts" / "part.py").write_text("pass", encoding="utf-8")
    with pytest.raises(TinydigitsError, match=r"house/parts/part\.py changed"):
        models.choose_code("house.room.net:Net", "w", recorded=recorded)
    assert not (tmp_path / "mark").exists()
    assert models.code_sha256("house.no_room:Net") is None


def test_a_cache_that_cannot_be_written_is_no_error(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYDIGITS_CACHE", str(tmp_path / "file"))
    allowed.allow(f"{project}/net.py:Net", lasting=True)
    models.load_weights(project / "weights.safetensors")


@pytest.mark.parametrize("place", ["evil\x1b[2J\n.py", "$(touch run).py", "x" * 10_000 + ".py", "a\0.py", "a\0b"])
def test_a_strangers_name_is_shown_as_what_it_is(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if len(place) < 100 and "\0" not in place:
        Path(place).write_text("", encoding="utf-8")
    with pytest.raises(TinydigitsError) as refusal:
        models.choose_code(f"{place}:Net", "w", command="tinydigits verify w")
    lines = str(refusal.value).splitlines()
    assert len(lines) == 2 and "\x1b" not in str(refusal.value)
    assert "$(" not in lines[1] or "'$(touch run).py:Net'" in lines[1]


def test_what_is_installed_is_not_followed(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packages of another environment on the path too: torch alone imports 5,000 files."""
    installed = tmp_path / "elsewhere" / "site-packages"
    for folder in (installed, tmp_path / "own"):
        folder.mkdir(parents=True)
        (folder / f"heavy_{folder.name[:3]}.py").write_text("", encoding="utf-8")
        monkeypatch.syspath_prepend(str(folder))
    (project / "sizes.py").write_text("import heavy_sit, heavy_own\n", encoding="utf-8")
    (project / "net.py").write_text("import sizes\n" + NET, encoding="utf-8")
    names = {path.name for path in models.source_files(f"{project / 'net.py'}:Net")}
    assert {"net.py", "blocks.py", "sizes.py", "heavy_own.py"} <= names and "heavy_sit.py" not in names
