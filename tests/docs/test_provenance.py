"""Every stored figure says what it was measured on, and that is what the package has today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import provenance
from tinydigits import recipe

RESULTS = provenance.ROOT / "benchmarks" / "results"
# The rows of `records` and `reference` are whole records and verdicts; test_frontier_page.py is about their weights.
FILES = [path for path in sorted(RESULTS.rglob("*.json*")) if path.parent.name not in ("records", "reference")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_figure_is_of_what_there_is_today(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    parts: list[Any] = [json.loads(part) for part in (text.splitlines() if path.suffix == ".jsonl" else [text])]
    assert '"measured_on": {' in text, "no stamp: benchmarks.provenance.stamp"
    assert list(provenance.differences(parts)) == [], "measure it anew by the command that its page names"


def test_the_picture_of_the_pictures_is_of_those_that_there_are() -> None:
    with Image.open(provenance.ROOT / "docs" / "picture.png") as picture:
        drawn_of = picture.info["Description"]
    assert drawn_of == provenance.files_sha256("tests/pictures"), "python -m benchmarks pictures sheet"


def test_other_weights_and_what_is_gone_are_found_at_any_depth() -> None:
    row = provenance.stamp(weights=["sprint", "dash-99"], recipes=["sprint"])
    assert list(provenance.differences({"rows": [row]})) == []
    row["measured_on"]["weights"] |= {"sprint": "0" * 64, "gone": "1" * 64}
    changed, gone = provenance.differences({"rows": [{"timing": row}]})
    assert changed == f"weights sprint: measured on {'0' * 12}, today {provenance.weights_sha256('sprint')[:12]}"
    assert gone.startswith("weights gone: measured on 111111111111, today pretrained")
    dash = provenance.weights_sha256("dash-99")[:12]
    assert provenance.sentence(row).partition("; ")[2] == (
        f"weights `sprint` (SHA-256 000000000000…), `dash-99` (SHA-256 {dash}…), `gone` (SHA-256 111111111111…); "
        f"recipe `sprint` (SHA-256 {provenance.recipe_sha256('sprint')[:12]}…)."
    )


@pytest.mark.parametrize("setting", ["epochs=2", "optimizer.lr=0.5", "model.options.dropout=0.5", "statistics=plain"])
def test_a_recipe_is_known_by_what_it_sets(setting: str) -> None:
    as_shipped, found = recipe.load("two-conv"), recipe.load("two-conv", [setting])
    assert provenance.settings_sha256(found) != provenance.settings_sha256(as_shipped)
    assert provenance.settings_sha256(found) == provenance.recipe_sha256(f"two-conv {setting}")
    words = as_shipped.model_copy(update={"description": "other words", "seed": 7, "contract": "sprint"})
    assert provenance.settings_sha256(words) == provenance.settings_sha256(as_shipped)


def test_files_are_known_by_their_names_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.py").write_text("1")
    found = [provenance.files_sha256("a")]
    (tmp_path / "a" / "two.py").write_text("2")
    found.append(provenance.files_sha256("a"))
    (tmp_path / "a" / "two.py").write_text("3")
    found.append(provenance.files_sha256("a"))
    (tmp_path / "a" / "two.py").rename(tmp_path / "a" / "three.py")
    found.append(provenance.files_sha256("a"))
    assert len(set(found)) == 4 and provenance.files_sha256("a/one.py") == found[0]
