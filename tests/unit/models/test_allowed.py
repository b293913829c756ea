"""Code that a file names is run only where the user has named the very same code."""

from __future__ import annotations

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
(Path(__file__).parent / "mark").touch()
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
"""


@pytest.fixture(autouse=True)
def _nothing_was_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TINYDIGITS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(allowed, "_allowed", set())


@pytest.fixture
def spec(tmp_path: Path) -> str:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    return f"{tmp_path}/net.py:Net"


def weights_of(spec: str, folder: Path) -> Path:
    """Weights whose card names that class, written by a process of a stranger's."""
    code = (
        "import sys; from tinydigits import models; "
        "card = models.WeightsCard(model=sys.argv[1], source='mnist', classes=list('0123456789'), mean=0.1, std=0.3); "
        "models.save_weights(sys.argv[2], models.build(sys.argv[1]), card)"
    )
    path = folder / "weights.safetensors"
    subprocess.run([sys.executable, "-c", code, spec, str(path)], check=True)
    (folder / "mark").unlink()
    return path


def test_code_that_weights_name_is_not_run(spec: str, tmp_path: Path) -> None:
    path = weights_of(spec, tmp_path)
    with pytest.raises(TinydigitsError, match=r"names code to run.*\n  try: tinydigits models show .*net.py:Net"):
        models.load_weights(path)
    assert not (tmp_path / "mark").exists()
    models.load_weights(path, spec=spec)  # the user's own word
    assert (tmp_path / "mark").exists()


def test_code_that_was_named_is_run_until_it_changes(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights_of(spec, tmp_path)
    allowed.allow(spec, lasting=True)
    monkeypatch.setattr(allowed, "_allowed", set())  # another process
    models.load_weights(path)
    assert (tmp_path / "mark").exists()
    monkeypatch.setattr(allowed, "_allowed", set())
    (tmp_path / "net.py").write_text(NET + "# changed\n", encoding="utf-8")
    with pytest.raises(TinydigitsError, match="names code to run"):
        models.load_weights(path)


def test_the_same_content_elsewhere_is_other_code(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed.allow(spec, lasting=True)
    monkeypatch.setattr(allowed, "_allowed", set())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "net.py").write_text(NET, encoding="utf-8")  # its neighbours may be other ones
    allowed.require_allowed(spec, "w")
    with pytest.raises(TinydigitsError, match="names code to run"):
        allowed.require_allowed(f"{tmp_path}/other/net.py:Net", "w")


def test_a_package_is_known_by_all_that_its_import_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "house" / "room"
    package.mkdir(parents=True)
    for place in (package.parent, package):
        (place / "__init__.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')", encoding="utf-8")
    (package / "net.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TinydigitsError, match="names code to run"):
        allowed.require_allowed("house.room.net:Net", "w")
    allowed.allow("house.room.net:Net", lasting=True)
    monkeypatch.setattr(allowed, "_allowed", set())
    allowed.require_allowed("house.room.net:Net", "w")
    (package.parent / "__init__.py").write_text("pass", encoding="utf-8")
    with pytest.raises(TinydigitsError, match="names code to run"):
        allowed.require_allowed("house.room.net:Net", "w")
    assert not (tmp_path / "mark").exists()


def test_a_cache_that_cannot_be_written_is_no_error(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TINYDIGITS_CACHE", str(tmp_path / "file"))
    allowed.allow(spec, lasting=True)
    allowed.require_allowed(spec, "w")
