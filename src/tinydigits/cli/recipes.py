"""`tinydigits recipes`: which recipes there are, what they say, and a copy to edit."""

from __future__ import annotations

from collections.abc import Iterator

from tinydigits.cli.shipped import shipped_files


def _rows() -> Iterator[tuple[str, ...]]:
    from tinydigits.recipe import DEFAULT, load, names

    for name in names():
        recipe = load(name)
        mark = " (default)" if name == DEFAULT else ""
        yield name + mark, recipe.model.name, recipe.data.source, str(recipe.epochs), recipe.description


def _read(name: str) -> str:
    from tinydigits.recipe import load, recipe_file

    load(name)  # a file that is no recipe is an error, not a listing
    return recipe_file(name).read_text(encoding="utf-8")


app = shipped_files(
    "recipe", ("name", "model", "data", "epochs", "what it is"), _rows, _read, then="tinydigits train", example="sprint"
)
