"""How this package is installed again, from wherever pip took it."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinydigits import origin

GIT = {"url": "https://example.org/tinydigits", "vcs_info": {"vcs": "git", "commit_id": "0123abcd"}}
CLONE = GIT | {"url": "file:///tmp/clone"}
WHEEL = {"url": "file:///tmp/tinydigits-0.1.0-py3-none-any.whl", "archive_info": {}}
FOLDER = {"url": "file:///tmp/a%20tree", "dir_info": {}}
DOWNLOAD = {"url": "https://example.org/tinydigits-0.1.0-py3-none-any.whl", "archive_info": {}}


def note(monkeypatch: pytest.MonkeyPatch, noted: dict[str, Any] | None, tree: Path) -> None:
    """An installed package, with what pip noted of its origin."""
    found = SimpleNamespace(read_text=lambda name: noted and json.dumps(noted), version="0.1.0")
    monkeypatch.setattr(metadata, "distribution", lambda name: found)
    monkeypatch.setattr(origin, "_TREE", tree)


@pytest.mark.parametrize(
    ("noted", "url", "is_elsewhere"),
    [
        (GIT, "git+https://example.org/tinydigits@0123abcd", True),
        (DOWNLOAD, DOWNLOAD["url"], True),
        (CLONE, "git+file:///tmp/clone@0123abcd", False),
        (WHEEL, WHEEL["url"], False),
        (FOLDER, FOLDER["url"], False),
    ],
    ids=["git", "download", "clone", "wheel", "folder"],
)
def test_what_pip_noted_is_installed_again(
    noted: dict[str, Any], url: str, is_elsewhere: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note(monkeypatch, noted, tmp_path)
    assert origin.install_hint("serve") == f"pip install 'tinydigits[serve] @ {url}'"
    assert origin.requirement() == (f"tinydigits @ {url}" if is_elsewhere else None)


def test_an_index_is_asked_for_the_name_once_it_is_this_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note(monkeypatch, None, tmp_path)
    assert not origin.install_hint("serve").startswith("pip") and origin.requirement() is None
    monkeypatch.setattr(origin, "PUBLISHED", True)
    assert origin.install_hint("serve") == "pip install 'tinydigits[serve]'"
    assert origin.requirement() == "tinydigits==0.1.0"


def test_in_a_source_tree_the_tree_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a tree").mkdir()
    (tmp_path / "a tree" / "pyproject.toml").touch()
    monkeypatch.setattr(origin, "_TREE", tmp_path / "a tree")
    assert origin.install_hint("serve") == f"pip install -e '{tmp_path}/a tree[serve]'"
