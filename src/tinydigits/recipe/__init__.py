"""Recipes: TOML files that hold everything that decides a training run, as typed fields."""

from tinydigits.recipe.fields import Recipe
from tinydigits.recipe.files import (
    DEFAULT,
    apply_settings,
    change,
    file,
    load,
    names,
    parse,
    parse_settings,
    to_toml,
)

__all__ = [
    "DEFAULT", "Recipe", "apply_settings", "change", "file", "load", "names", "parse", "parse_settings",
    "to_toml",
]  # fmt: skip
