"""Recipes as files: found by name or path, read, changed by `--set`, written back."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from tinydigits.errors import TinydigitsError, explain_validation
from tinydigits.plugins import TomlFiles
from tinydigits.recipe import augment, fields
from tinydigits.text import read_text, require_lines, toml_tree

__all__ = [
    "DEFAULT", "apply_settings", "change", "file", "load", "names", "parse", "parse_settings", "to_toml",
]  # fmt: skip

DEFAULT = "sprint"

_RECIPES = TomlFiles("recipe", Path(__file__).parents[1] / "recipes", DEFAULT)
names, file = _RECIPES.names, _RECIPES.find


def load(name_or_path: str | Path = DEFAULT, settings: Mapping[str, Any] | Sequence[str] = ()) -> fields.Recipe:
    """Read a recipe by name or path, with `settings` on top: values by key, or lines as `--set` takes them.

    >>> load("two-conv", {"optimizer.lr": 0.01}).optimizer.lr
    0.01
    >>> load("two-conv", ["optimizer.lr=0.01"]).optimizer.lr
    0.01

    Raises TinydigitsError for unknown names and keys (with near matches), wrong types and impossible values.
    """
    path = file(name_or_path)
    return parse(read_text(path, f"recipe {path}"), name=path.stem, settings=settings)


def parse(text: str, *, name: str, settings: Mapping[str, Any] | Sequence[str] = ()) -> fields.Recipe:
    """Check a recipe given as TOML text; `name` is used where the text names none."""
    return _checked(f"recipe {name}", {"name": name, **toml_tree(text, f"recipe {name}")}, settings)


def change(recipe: fields.Recipe, settings: Mapping[str, Any]) -> fields.Recipe:
    """A recipe with other values, checked like a recipe that is read.

    >>> change(load("two-conv"), {"optimizer.lr": 0.01, "model.dropout": 0.1}).model.options
    {'dropout': 0.1}
    """
    return _checked(f"recipe {recipe.name}", recipe.model_dump(mode="json", exclude_none=True), settings)


def _checked(where: str, tree: dict[str, Any], settings: Mapping[str, Any] | Sequence[str]) -> fields.Recipe:
    apply_settings(where, tree, settings if isinstance(settings, Mapping) else parse_settings(where, settings))
    require_lines(tree, where)
    try:
        return fields.Recipe(**tree)
    except ValidationError as error:
        raise explain_validation(where, error, tree, _keys_beside) from error


def parse_settings(where: str, lines: Iterable[str]) -> dict[str, Any]:
    """Values by key of lines `a.b=value`; a value is TOML, or else a plain string. The last of equal keys counts.

    >>> parse_settings("recipe x", ["optimizer.lr=0.5", "data.batch_size=10", "model.name=gap-cnn"])
    {'optimizer.lr': 0.5, 'data.batch_size': 10, 'model.name': 'gap-cnn'}
    """
    settings: dict[str, Any] = {}
    for line in lines:
        key, equals, text = line.partition("=")
        if not equals or not key.strip():
            raise TinydigitsError(where, got=f"--set {line}", expected="key=value", hint="--set optimizer.lr=0.01")
        settings.pop(key.strip(), None)  # so that it stands where it was said last
        try:
            settings[key.strip()] = toml_tree(f"value = {text}", where)["value"]
        except TinydigitsError:
            settings[key.strip()] = text
    return settings


def apply_settings(where: str, tree: dict[str, Any], settings: Mapping[str, Any]) -> None:
    """Write the value of each key, such as `optimizer.lr`, into `tree`.

    The model's options are meant by their own names, too: `model.dropout` is `model.options.dropout`.

    >>> tree = {"optimizer": {"lr": 1.0}}
    >>> apply_settings("recipe x", tree, {"optimizer.lr": 0.5, "data.batch_size": 10})
    >>> tree
    {'optimizer': {'lr': 0.5}, 'data': {'batch_size': 10}}
    """
    for key, value in settings.items():
        *path, last = _spell_out(str(key).split("."))
        branch: Any = tree
        for part in path:
            branch = branch[int(part)] if _is_index(branch, part) else _descend(where, key, branch, part)
        if _is_index(branch, last):
            branch[int(last)] = copy.deepcopy(value)
        elif isinstance(branch, dict):
            branch[last] = copy.deepcopy(value)  # a later key may lead into it
        else:
            raise TinydigitsError(f"{where}: {key}", f"{last!r} leads nowhere")


def _spell_out(path: list[str]) -> list[str]:
    own = fields.ModelPart.model_fields
    return ["model", "options", *path[1:]] if len(path) > 1 and path[0] == "model" and path[1] not in own else path


def _is_index(branch: Any, part: str) -> bool:
    return isinstance(branch, list) and part.isdigit() and int(part) < len(branch)


def _descend(where: str, key: str, branch: Any, part: str) -> Any:
    if not isinstance(branch, dict) or not isinstance(branch.get(part, {}), dict | list):
        raise TinydigitsError(f"{where}: {key}", f"{part!r} leads nowhere")
    return branch.setdefault(part, {})


def _keys_beside(location: Sequence[str]) -> list[str]:
    """The keys that a table of the recipe may have; `location` as pydantic gives it, union tags included."""
    for part in reversed(location):
        if part in _TABLES:
            return list(_TABLES[part].model_fields)
    return list(fields.Recipe.model_fields)


def _tables() -> dict[str, type[BaseModel]]:
    """Each table of a recipe by its key, and each member of a union by its tag."""
    tables: dict[str, type[BaseModel]] = {}
    for part in (vars(fields) | vars(augment)).values():
        if isinstance(part, type) and issubclass(part, BaseModel) and "name" in part.model_fields:
            tags = get_args(part.model_fields["name"].annotation)
            tables.update({tag: part for tag in tags if isinstance(tag, str)})
    for key, field in fields.Recipe.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))  # an optional table's is a union with None
        parts = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if len(parts) == 1:
            tables[key] = parts[0]
    return tables


_TABLES = _tables()


def to_toml(recipe: fields.Recipe) -> str:
    """A recipe as TOML text that `parse` reads back to an equal recipe.

    >>> recipe = load("two-conv")
    >>> parse(to_toml(recipe), name="copy") == recipe
    True
    """
    import tomli_w

    tree = recipe.model_dump(exclude_none=True)
    if isinstance(recipe.data.batch_size, dict):  # TOML's keys are strings
        tree["data"]["batch_size"] = {str(epoch): size for epoch, size in recipe.data.batch_size.items()}
    return tomli_w.dumps(tree)
