"""The typed fields of a sweep: what a TOML sweep may say."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from tinydigits.run import leaves
from tinydigits.sweep.ranges import Range, parse_range

__all__ = ["Point", "Sweep"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _flatten(tree: Any) -> Any:
    """TOML reads `data.batch_size = …` as a table in a table; here it is one dotted key."""
    return dict(leaves(tree)) if isinstance(tree, Mapping) else tree


Settings = Annotated[dict[str, Any], BeforeValidator(_flatten)]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Point:
    """One trial of a grid: settings on top of the recipe, and how far its seed is from the recipe's."""

    settings: dict[str, Any]
    seed_offset: int = 0


class Sweep(BaseModel):
    """A grid (`vary`, `cases`, `seeds`) or a search (`search`, with `trials`, a `budget`, or both) around one recipe.

    >>> sweep = Sweep(name="mine", recipe="two-conv", vary={"data.batch_size": [10, 50]}, seeds=2)
    >>> sweep.grid()[1]
    Point(settings={'data.batch_size': 50}, seed_offset=0)

    Settings are the recipe's fields as `--set` names them. A search ranks by accuracy on validation images; with
    `verify` each trial of a grid is asked for the official test images once, by the verifier.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, description="what the sweep is called")
    description: str = Field("", description="one or two sentences: what is asked")
    recipe: str = Field(description="a recipe's name, or a path that ends in .toml")
    set: Settings = Field({}, description="settings of every trial")
    vary: Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_flatten)] = Field(
        {}, description="a grid: each setting with its values, every combination is tried"
    )
    cases: tuple[Settings, ...] = Field((), description="a grid: settings that go together, a table each")
    seeds: Count = Field(1, description="a grid: so many seeds for each combination, from the recipe's on")
    verify: bool = Field(False, description="a grid: put each trial to the contract, test images included")
    search: Annotated[dict[str, str | tuple[Any, ...]], BeforeValidator(_flatten)] = Field(
        {}, description="a search: each setting with its range, as in `log:1e-4..1e-1`, or a list to choose from"
    )
    trials: Count | None = Field(None, description="a search: so many trials, rejected ones not counted")
    budget: str | None = Field(
        None, description="a search: so long, as in `30m`; trials that still run are cut short once one has finished"
    )
    contract: str | None = Field(
        None, description="its static limits bound a search; `verify` asks for it in place of the recipe's"
    )

    @field_validator("vary")
    @classmethod
    def _has_values(cls, given: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for key, values in given.items():
            if not values or len({json.dumps(value) for value in values}) < len(values):
                raise ValueError(f"{key} with one or more values, none of them twice")
        return given

    @field_validator("search")
    @classmethod
    def _can_be_read(cls, given: dict[str, Any]) -> dict[str, Any]:
        for key, text in given.items():
            if key != "model":
                parse_range(key, text)
        return given

    @field_validator("budget")
    @classmethod
    def _is_a_duration(cls, given: str | None) -> str | None:
        if given is not None and not re.fullmatch(r"\d+(\.\d+)?[smhd]", given):
            raise ValueError("a number and its unit, as in 90s, 30m, 2h or 1d")
        return given

    @model_validator(mode="after")
    def _is_one_thing(self) -> Sweep:
        if self.search:
            if self.vary or self.cases or self.seeds > 1:
                raise ValueError("a grid (vary, cases, seeds) or a search, not both")
            if self.verify:
                raise ValueError("no verify with a search: what is chosen by test images says nothing about them")
            if self.trials is None and self.budget is None:
                raise ValueError("trials or a budget, so that the search ends")
        elif self.trials is not None or self.budget is not None:
            raise ValueError("search with trials or budget: a grid is as long as it is")
        return self

    @property
    def budget_seconds(self) -> float | None:
        """The budget as seconds."""
        return None if self.budget is None else float(self.budget[:-1]) * _UNITS[self.budget[-1]]

    @property
    def ranges(self) -> dict[str, Range]:
        """The search's ranges, by setting; those that the model declares (`model`) are not among them."""
        return {key: parse_range(key, text) for key, text in self.search.items() if key != "model"}

    def grid(self) -> list[Point]:
        """Every trial of a grid, seed by seed, so that a sweep that is stopped has all combinations."""
        axes = [[{key: value} for value in values] for key, values in self.vary.items()]
        whole = itertools.product(range(self.seeds), self.cases or ({},), *axes)
        return [Point({key: value for part in parts for key, value in part.items()}, seed) for seed, *parts in whole]
