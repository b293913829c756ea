"""`tinydigits recipes`: which recipes there are, what they say, and a copy to edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinydigits.cli.shipped import shipped_files

if TYPE_CHECKING:
    from tinydigits.recipe import Recipe


def _row(name: str, recipe: Recipe) -> tuple[str, ...]:
    from tinydigits.recipe import DEFAULT

    mark = " (default)" if name == DEFAULT else ""
    return name + mark, recipe.model.name, recipe.data.source, str(recipe.epochs), recipe.description


app = shipped_files(
    "recipe", ("name", "model", "data", "epochs", "what it is"), _row, then="tinydigits train", example="sprint"
)
