from __future__ import annotations

import shlex

import pytest

import tinydigits.recipe
from benchmarks.rows import is_shipped
from tinydigits.recipe import Recipe
from tinydigits.report import train_command
from tinydigits.run import Record, Run


def recorded(run: Run, recipe: Recipe) -> Record:
    tree = recipe.model_dump(mode="json", exclude_none=True)
    return run.record.model_copy(update={"recipe": tree})


@pytest.mark.parametrize("name", tinydigits.recipe.names())
@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["seed=7"],
        ["optimizer.lr=0.5", "epochs=30"],
        ["schedule={name = 'one-cycle', warmup = 0.5}", "loss.label_smoothing=[0.1, 0.0]"],
        ["data.batch_size={1 = 10, 2 = 20}", "data.shuffle=false", "data.source=some folder"],
        ["augment=[]", "average={name = 'ema', decay = 0.9}"],
    ],
)
def test_command_names_the_recipe_and_what_was_changed(trained: Run, name: str, settings: list[str]) -> None:
    recipe = tinydigits.recipe.load(name, settings)
    words = shlex.split(train_command(recorded(trained, recipe)))
    assert words[:2] == ["tinydigits", "train"]
    if words[2] == "recipe.toml":  # only where --set cannot leave a key out
        assert settings and settings[0].startswith(("schedule", "augment", "data"))
        return
    given = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    seed = words[words.index("--seed") + 1]
    assert tinydigits.recipe.load(words[2], [*given, f"seed={seed}"]) == recipe
    assert words[-4:] == ["--device", "cpu", "--threads", "1"]


def test_command_of_a_recipe_of_ones_own_names_its_file(trained: Run) -> None:
    recipe = tinydigits.recipe.load("digits").model_copy(update={"name": "mine"})
    command = train_command(recorded(trained, recipe), recipe_file="runs/my run/recipe.toml")
    assert command == "tinydigits train 'runs/my run/recipe.toml' --device cpu --threads 1"


def test_only_the_seed_may_differ_from_a_shipped_recipe(trained: Run) -> None:
    assert is_shipped(recorded(trained, tinydigits.recipe.load("digits", ["seed=5"])))
    assert not is_shipped(recorded(trained, tinydigits.recipe.load("digits", ["epochs=5"])))
    assert not is_shipped(trained.record)
