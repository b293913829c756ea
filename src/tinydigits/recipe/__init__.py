"""Recipes: TOML files that hold everything that decides a training run, as typed fields."""

from tinydigits.recipe.fields import Recipe
from tinydigits.recipe.files import DEFAULT, load, names, parse, recipe_file, to_toml

__all__ = ["DEFAULT", "Recipe", "load", "names", "parse", "recipe_file", "to_toml"]
