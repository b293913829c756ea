"""What a stored figure was measured on, by SHA-256, so that a test can tell when the package has something else now.

Beside the figures in a file of benchmarks/results stands what `stamp` gave when they were measured:

    "measured_at": "2026-11-21",
    "measured_on": {"weights": {"sprint": "daeeb6ff…"}, "recipes": {"gap-cnn epochs=1": "0a1b2c3d…"}}

`tests/docs/test_provenance.py` compares every such stamp with what `KINDS` finds today.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tinydigits import contract, pretrained, recipe
from tinydigits.errors import TinydigitsError
from tinydigits.machine import describe_machine, describe_versions

__all__ = ["KINDS", "differences", "sentence", "short", "stamp", "weights_sha256"]

ROOT = Path(__file__).parents[1]
_WORDS_ABOUT = {"name", "description", "contract", "seed"}  # of a recipe: nothing that it trains depends on them


def weights_sha256(name: str) -> str:
    """The SHA-256 of a shipped model's weights."""
    return hashlib.sha256(pretrained.find(name).weights.read_bytes()).hexdigest()


def architecture_sha256(name: str) -> str:
    """Of a shipped model without its weights: its name and options, and its tensors' names, types and shapes."""
    found = pretrained.find(name)
    content = found.weights.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    header.pop("__metadata__", None)
    tensors = {key: [tensor["dtype"], tensor["shape"]] for key, tensor in header.items()}
    return _digest([found.card.model, found.card.options, tensors])


def recipe_sha256(words: str) -> str:
    """Of a shipped recipe's settings, after those that follow its name: `dash-99 epochs=1`."""
    name, *settings = words.split()
    return settings_sha256(recipe.load(name, settings))


def settings_sha256(found: recipe.Recipe) -> str:
    """Of all that a recipe sets otherwise than by default, but for its seed and the words about it."""
    return _digest(found.model_dump(mode="json", exclude_defaults=True, exclude=_WORDS_ABOUT))


def files_sha256(path: str) -> str:
    """Of a file of this tree, or of all files of a folder and below, with their names."""
    found = [ROOT / path] if (ROOT / path).is_file() else sorted((ROOT / path).rglob("*"))
    files = (file for file in found if file.is_file() and "__pycache__" not in file.parts)
    return _digest([[str(file.relative_to(ROOT)), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files])


def _digest(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


KINDS: dict[str, Callable[[str], str]] = {
    "weights": weights_sha256,
    "architectures": architecture_sha256,
    "recipes": recipe_sha256,
    "contracts": lambda name: contract.load(name).sha256,
    "files": files_sha256,
}


def stamp(**subjects: Iterable[str]) -> dict[str, Any]:
    """What is measured now, and where, for the rows' file: names by kind, as in `stamp(weights=["sprint"])`."""
    hashes = {kind: {name: KINDS[kind](name) for name in names} for kind, names in subjects.items()}
    where = {"machine": describe_machine(), "versions": describe_versions()}
    return {"measured_at": f"{datetime.now(UTC):%Y-%m-%d}", "measured_on": hashes, **where}


def differences(tree: Any) -> Iterator[str]:
    """Whatever the stamps in a tree, at any depth, were measured on that is another today."""
    if isinstance(tree, dict):
        for kind, names in tree.get("measured_on", {}).items():
            for name, measured in names.items():
                try:
                    today = KINDS[kind](name)
                except TinydigitsError as error:
                    today = str(error)
                if today != measured:
                    yield f"{kind} {name}: measured on {short(measured)}, today {short(today)}"
    for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from differences(inner)


def sentence(tree: dict[str, Any]) -> str:
    """A stamp for a page: when, and on what.

    >>> sentence({"measured_at": "2026-11-21", "measured_on": {"weights": {"sprint": "daeeb6ffc3a1b2c3"}}})
    'Measured on 2026-11-21; weights `sprint` (SHA-256 daeeb6ffc3a1…).'
    """
    subjects = (
        ("weights " if kind == "weights" else kind.removesuffix("s" * (len(names) == 1)) + " ")
        + ", ".join(f"`{name.split()[0]}` (SHA-256 {short(digest)}…)" for name, digest in names.items())
        for kind, names in tree["measured_on"].items()
    )
    return "; ".join([f"Measured on {tree['measured_at']}", *subjects]) + "."


def short(digest: str) -> str:
    """So much of a SHA-256 as a page shows."""
    return digest[:12]
