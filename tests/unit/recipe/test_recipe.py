"""Recipes: what they may say, what `--set` changes, and what is told about a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinydigits import recipe
from tinydigits.errors import TinydigitsError


@pytest.mark.parametrize("name", recipe.names())
def test_a_shipped_recipe_survives_being_written_and_read(name: str) -> None:
    loaded = recipe.load(name)
    assert loaded.name == name and loaded.description and loaded.contract
    assert recipe.parse(recipe.to_toml(loaded), name="other") == loaded


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("optimizer.lr=0.5", "optimizer.lr", 0.5),
        ("data.shuffle=false", "data.shuffle", False),
        ("data.batch_size={1=64, 3=32}", "data.batch_size", {1: 64, 3: 32}),
        ("model.options.dropout=0.25", "model.options", {"dropout": 0.25}),
        ("data.source=digits", "data.source", "digits"),
        ("evaluation.shift_pixels=1", "evaluation.shift_pixels", 1),
    ],
)
def test_a_setting_overrides_any_field(setting: str, path: str, value: object) -> None:
    found: object = recipe.load("two-conv", [setting])
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value


def test_a_setting_reaches_into_a_list() -> None:
    assert recipe.load("rf29-cnn", ["augment.0.degrees=12"]).augment[0].degrees == 12
    assert recipe.load("rf29-cnn", ["augment=[]"]).augment == ()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer.lr=-1", r"recipe two-conv: optimizer\.lr: got -1, expected > 0"),
        ("data.batch_size=0", r"data\.batch_size: got 0, expected ≥ 1"),
        ("data.batch_size={3=64}", r"data\.batch_size: got .*, expected a size for epoch 1"),
        ("epochs=0", r"epochs: got 0, expected ≥ 1"),
        ("epochs=many", r"epochs: got 'many', expected a valid integer"),
        ("seed=1.5", r"seed: got 1\.5"),
        ("precision=fp8", r"precision: got 'fp8', expected 'fp32' or 'bf16'"),
        ("optimizer.lrr=1", r"unknown key 'optimizer\.lrr'[^\n]*\n  try: optimizer\.lr"),
        ("modle.name=x", r"unknown key 'modle'[^\n]*\n  try: model"),
        ("schedule.name=cosin", r"schedule: unknown name 'cosin'[^\n]*\n  try: cosine"),
        ("schedule.warmp=1", r"unknown key 'schedule\.warmp'[^\n]*\n  try: schedule\.warmup"),
        ("augment=[{name='rotation'}]", r"augment\.0\.degrees: is required"),
        ("augment=[{name='rotation', degrees=3, q=1}]", r"unknown key 'augment\.0\.q'"),
        ("mix={probability=0.5}", "mixup_alpha or cutmix_alpha > 0"),
        ("epochs.more=3", "leads nowhere"),
        ("epochs", "expected key=value"),
    ],
)
def test_a_mistake_is_told_with_its_place(setting: str, message: str) -> None:
    with pytest.raises(TinydigitsError, match=message):
        recipe.load("two-conv", [setting])


def test_what_does_not_fit_together_is_told() -> None:
    with pytest.raises(TinydigitsError, match=r"data\.validation > 0"):
        recipe.load("gap-cnn", ["data.validation=0"])
    with pytest.raises(TinydigitsError, match="start_epoch ≤ epochs = 3"):
        recipe.load("se-resnet", ["epochs=3"])


def test_an_unknown_recipe_gets_near_matches_and_a_file_is_read(tmp_path: Path) -> None:
    with pytest.raises(TinydigitsError, match=r"unknown recipe 'twoconv'[^\n]*\n  try: two-conv"):
        recipe.load("twoconv")
    with pytest.raises(TinydigitsError, match=r"mine\.toml: no such file"):
        recipe.load(tmp_path / "mine.toml")
    path = tmp_path / "mine.toml"
    path.write_text(recipe.file("two-conv").read_text(encoding="utf-8"), encoding="utf-8")
    assert recipe.load(path).name == "mine"
    path.write_text("epochs = = 1", encoding="utf-8")
    with pytest.raises(TinydigitsError, match="recipe mine: not TOML"):
        recipe.load(path)


def test_the_batch_size_changes_by_epoch() -> None:
    sizes = recipe.load("se-resnet").data
    assert [sizes.batch_size_at(epoch) for epoch in (1, 4, 5, 12, 13, 20)] == [256, 256, 128, 64, 32, 16]


def test_label_smoothing_moves_linearly() -> None:
    loss = recipe.load("se-resnet").loss
    assert loss.label_smoothing_at(1, 20) == pytest.approx(0.1)
    assert loss.label_smoothing_at(20, 20) == pytest.approx(0.01)
    assert loss.label_smoothing_at(10, 19) == pytest.approx(0.055)


def test_values_are_taken_as_they_are_and_are_not_changed() -> None:
    model = {"name": "gap-cnn"}
    changed = recipe.change(
        recipe.load("digits"), {"augment.0.degrees": 3, "model": model, "model.dropout": 0.2, "model.name": "dash"}
    )
    assert (changed.augment[0].degrees, changed.model.name, changed.model.options) == (3, "dash", {"dropout": 0.2})
    assert model == {"name": "gap-cnn"}
    by_file = recipe.load("digits", {"data.batch_size": {1: 8, 3: 16}, "optimizer.betas": (0.9, 0.95)})
    assert by_file.data.batch_size == {1: 8, 3: 16} and by_file.optimizer.betas == (0.9, 0.95)
    assert recipe.load("digits", ["epochs=2", "epochs=3"]).epochs == 3
    with pytest.raises(TinydigitsError, match="one line of printable characters"):
        recipe.load("digits", {"model.name": "gap\ncnn"})
