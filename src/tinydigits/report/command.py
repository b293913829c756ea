"""The command line that trains a recorded run again."""

from __future__ import annotations

import json
import shlex
from typing import Any

import tinydigits.recipe
from tinydigits.errors import TinydigitsError
from tinydigits.recipe import Recipe
from tinydigits.run import Record

__all__ = ["train_command", "what_decides"]


def train_command(record: Record, *, recipe_file: str = "recipe.toml") -> str:
    """The `tinydigits train …` that gives the same bits on the same machine and versions.

    >>> record = Record(
    ...     started_at="", recipe=tinydigits.recipe.load("two-conv", ["seed=3", "epochs=2"]).model_dump(mode="json"),
    ...     source="mnist", classes=[], num_train=0, num_validation=0, data_sha256="", num_parameters=0,
    ...     num_buffers=0, device="cpu", threads=1, machine={}, versions={},
    ... )
    >>> train_command(record)
    'tinydigits train two-conv --seed 3 --set epochs=2 --device cpu --threads 1'

    It names the recipe that comes with the package and what was changed in it. A recipe of the user's own, or changed
    beyond what `--set` can say, is named by `recipe_file`.
    """
    recipe = Recipe.model_validate(record.recipe)
    settings = _settings(recipe)
    words = ["tinydigits", "train", recipe_file if settings is None else recipe.name]
    if settings is not None:
        words += ["--seed", str(recipe.seed)]
    for setting in settings or []:
        words += ["--set", setting]
    return shlex.join([*words, "--device", record.device, "--threads", str(record.threads)])


def _settings(recipe: Recipe) -> list[str] | None:
    """What `--set` must change in the shipped recipe of this name; None where that cannot give this recipe."""
    if recipe.name not in tinydigits.recipe.names():
        return None
    shipped = tinydigits.recipe.load(recipe.name, [f"seed={recipe.seed}"])
    settings = _differences("", _tree(shipped), _tree(recipe))
    try:
        reached = tinydigits.recipe.load(recipe.name, [f"seed={recipe.seed}", *settings])
    except TinydigitsError:
        return None
    same = reached.model_copy(update={"description": recipe.description, "contract": recipe.contract}) == recipe
    return settings if same else None


def what_decides(record: Record) -> dict[str, Any]:
    """A recorded recipe without its seed and the words about it: equal for runs that differ in nothing else."""
    return _tree(Recipe.model_validate(record.recipe))


def _tree(recipe: Recipe) -> dict[str, Any]:
    return recipe.model_dump(mode="json", exclude_none=True, exclude={"name", "description", "contract", "seed"})


def _differences(prefix: str, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    settings = []
    for key, value in new.items():
        before = old.get(key)
        if before == value:
            continue
        if isinstance(value, dict) and isinstance(before, dict) and before.keys() <= value.keys():
            settings += _differences(f"{prefix}{key}.", before, value)
        else:
            settings.append(f"{prefix}{key}={_inline(value)}")
    return settings


def _inline(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(inner) for inner in value) + "]"
    return json.dumps(value)  # numbers, true, false and strings are written in TOML as in JSON
