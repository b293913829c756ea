"""What a model says of its own options: the range in which a search may look for each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from tinydigits import models
from tinydigits.errors import TinydigitsError, foreign_code
from tinydigits.recipe import Recipe
from tinydigits.sweep.ranges import Range, parse_range

__all__ = ["compose", "declared_ranges", "own_values"]


def declared_ranges(spec: str) -> dict[str, Range]:
    """The ranges that a model's class declares, by setting; an option of several numbers has one for each.

    >>> declared_ranges("separable-cnn")["model.depths.1"]
    Numbers(low=1.0, high=5.0, log=False, whole=True)

    An option declares one beside its limits: `Annotated[int, Field(ge=1, json_schema_extra={"search": "int:4..48"})]`.
    Raises TinydigitsError for a model that declares none.
    """
    ranges: dict[str, Range] = {}
    for name, parameter in _parameters(spec).items():
        annotation = parameter.annotation
        if get_origin(annotation) is tuple:
            for number, inner in enumerate(get_args(annotation)):
                _take(ranges, f"model.{name}.{number}", inner)
        else:
            _take(ranges, f"model.{name}", annotation)
    if not ranges:
        raise TinydigitsError(
            f"model {spec}", "declares no range for any of its options",
            hint="--search model.OPTION=int:4..48, or json_schema_extra={'search': 'int:4..48'} in the option's Field",
        )  # fmt: skip
    return ranges


def _parameters(spec: str) -> Mapping[str, inspect.Parameter]:
    with foreign_code(f"model {spec}", "when its options are read"):
        return inspect.signature(models.find(spec).__init__, eval_str=True).parameters


def _take(ranges: dict[str, Range], key: str, annotation: Any) -> None:
    for part in getattr(annotation, "__metadata__", ()):
        extra = part.json_schema_extra if isinstance(part, FieldInfo) else None
        if isinstance(extra, dict) and "search" in extra:
            text: Any = extra["search"]
            ranges[key] = parse_range(key, text)


def compose(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a trial, options of several numbers put together.

    >>> compose({"optimizer.lr": 0.1, "model.widths.0": 8, "model.widths.1": 16})
    {'optimizer.lr': 0.1, 'model.widths': [8, 16]}
    """
    settings: dict[str, Any] = {}
    parts: dict[str, dict[int, Any]] = {}
    for key, value in values.items():
        match = re.fullmatch(r"(model\.\w+)\.(\d+)", key)
        if match:
            parts.setdefault(match[1], {})[int(match[2])] = value
        else:
            settings[key] = value
    return settings | {key: [numbered[number] for number in sorted(numbered)] for key, numbered in parts.items()}


def own_values(recipe: Recipe, ranges: Mapping[str, Range]) -> dict[str, Any]:
    """What the recipe, or else its model, says of the settings that are searched, where that is in their range.

    >>> import tinydigits.recipe
    >>> recipe = tinydigits.recipe.load("frontier-3k")
    >>> ranges = ("model.widths.1", "model.widths.2", "model.repeats")
    >>> own_values(recipe, {key: parse_range(key, "int:1..18") for key in ranges})
    {'model.widths.1': 16, 'model.repeats': 1}

    Values are as Optuna keeps them.
    """
    tree = recipe.model_dump(mode="json")
    defaults = {name: parameter.default for name, parameter in _parameters(recipe.model.name).items()}
    tree["model"] = defaults | tree["model"]["options"] | tree["model"]
    values = {}
    for key, where in ranges.items():
        value: Any = tree
        for part in key.split("."):
            if isinstance(value, list | tuple) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                value = value.get(part) if isinstance(value, dict) else None
        kept = where.keep(value)
        if kept is not None:
            values[key] = kept
    return values
