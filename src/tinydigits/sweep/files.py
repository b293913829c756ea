"""Sweeps as files: found by name or path, read, and written back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tinydigits.errors import TinydigitsError, explain_validation
from tinydigits.plugins import TomlFiles
from tinydigits.sweep.fields import Sweep
from tinydigits.text import read_text, toml_tree

__all__ = ["check", "file", "is_sweep", "load", "names", "to_toml"]

_SWEEPS = TomlFiles("sweep", Path(__file__).parents[1] / "sweeps", "two-conv-batch-size")
names, file = _SWEEPS.names, _SWEEPS.find


def is_sweep(name_or_path: str) -> bool:
    """Whether a name or a TOML file is a sweep's, not a recipe's: a sweep names its recipe.

    >>> is_sweep("two-conv-batch-size"), is_sweep("two-conv")
    (True, False)
    """
    if name_or_path in names():
        return True
    if not name_or_path.endswith(".toml") or not Path(name_or_path).is_file():
        return False
    try:
        return "recipe" in toml_tree(read_text(Path(name_or_path)), name_or_path)
    except TinydigitsError:
        return False


def load(name_or_path: str | Path) -> Sweep:
    """Read a sweep by name or path.

    >>> load("two-conv-dropout").seeds
    5

    Raises TinydigitsError for unknown names and keys (with near matches), and for ranges that cannot be read.
    """
    path = file(name_or_path)
    tree = toml_tree(read_text(path, f"sweep {path}"), f"sweep {path.stem}")
    return check({"name": path.stem, **tree})


def check(tree: dict[str, Any]) -> Sweep:
    """A sweep from its fields; raises TinydigitsError where they do not fit."""
    try:
        return Sweep.model_validate(tree)
    except ValidationError as error:
        fields = list(Sweep.model_fields)
        raise explain_validation(f"sweep {tree.get('name', '')}", error, tree, lambda location: fields) from error


def to_toml(sweep: Sweep) -> str:
    """A sweep as TOML text that `load` reads back to an equal sweep."""
    import tomli_w

    return tomli_w.dumps(sweep.model_dump(mode="json", exclude_defaults=True))
