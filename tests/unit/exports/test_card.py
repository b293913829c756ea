"""The model card: a reader of YAML takes its front matter, and its figures are the record's and the verdict's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import HOSTILE, must_be_inert, spoil, verify_and_keep
from tinydigits import exports
from tinydigits.exports import Trained
from tinydigits.run import Run


def card_of(run: Run, folder: Path) -> tuple[dict[str, Any], str]:
    text = exports.export(exports.of_run(run), "card", folder).path.read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    return YAML(typ="safe").load(front), body


@pytest.fixture
def copied(run: Run, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(run.folder, tmp_path / "run")))


def test_a_card_without_a_verdict_claims_nothing(copied: Run, tmp_path: Path) -> None:
    front, body = card_of(copied, tmp_path)
    assert front["pipeline_tag"] == "image-classification" and front["datasets"] == ["digits"]
    assert "model-index" not in front and "Nothing has been verified yet" in body
    assert f"{copied.record.num_parameters:,} parameters" in body


def test_the_verdicts_figures_are_on_the_card_until_the_weights_change(
    trained: Trained, copied: Run, tmp_path: Path
) -> None:
    verdict = verify_and_keep(copied.folder, "digits")
    front, body = card_of(copied, tmp_path)
    (found,) = front["model-index"][0]["results"]
    assert found["dataset"] == {"name": "digits", "type": "digits", "split": "test"}
    images = trained.images("test")
    correct = int((trained.answer(images.images_NHW).argmax(axis=1) == images.labels_N).sum())
    assert found["metrics"] == [{"type": "accuracy", "value": pytest.approx(correct / 596, abs=1e-5)}]
    assert all(f"| {finding.check} |" in body for finding in verdict.findings)
    weights = copied.folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    assert "model-index" not in card_of(copied, tmp_path)[0], "the verdict is of other weights"


def test_what_strangers_named_stays_text_in_front_matter_and_prose(copied: Run, tmp_path: Path) -> None:
    verify_and_keep(copied.folder, "digits")
    spoil(copied.folder)
    trained = exports.of_run(copied)
    card = trained.card.model_copy(update={"classes": ["<b>|x", HOSTILE, "😀"], "model": f"{HOSTILE}.py:Net"})
    text = exports.export(replace(trained, card=card), "card", tmp_path).path.read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    must_be_inert(body)
    (found,) = YAML(typ="safe").load(front)["model-index"][0]["results"]
    assert found["dataset"]["split"] == "test" and "😀" in body


def test_test_time_augmentation_is_named(copied: Run, tmp_path: Path) -> None:
    text = copied.file("recipe.toml").read_text(encoding="utf-8")
    copied.write("recipe.toml", text.replace("shift_pixels = 0", "shift_pixels = 1"))
    verify_and_keep(copied.folder, "digits")
    front, body = card_of(copied, tmp_path)
    assert "averaged over all shifts of up to 1 px" in body and "less accurate" not in body
    (found,) = front["model-index"][0]["results"]
    assert found["metrics"][0]["name"] == "accuracy, averaged over shifts of up to 1 px"
