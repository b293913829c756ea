"""Where a search may look for a setting: `0..0.5`, `log:1e-4..1e-1`, `int:4..48`, or a list to choose from."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import Trial

__all__ = ["Choice", "Numbers", "Range", "parse_range"]


@dataclass(frozen=True)
class Numbers:
    """All numbers, or whole ones, from `low` to `high`, both included; with `log` small ones as often as large ones."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Trial, key: str) -> Any:
        """The number that a trial takes."""
        if self.whole:
            return trial.suggest_int(key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(key, self.low, self.high, log=self.log)

    def keep(self, value: Any) -> Any:
        """A value as Optuna keeps it; None where it is not in the range."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if is_number and self.low <= value <= self.high and not (self.whole and value % 1) else None

    @property
    def first(self) -> Any:
        """One value of the range, to see that the setting exists."""
        return int(self.low) if self.whole else self.low


@dataclass(frozen=True)
class Choice:
    """One of some values, which need not be numbers."""

    values: tuple[Any, ...]

    def suggest(self, trial: Trial, key: str) -> Any:
        """The value that a trial takes."""
        # Optuna keeps numbers and text alone: a list is one of its texts.
        texts = [json.dumps(value) for value in self.values]
        return json.loads(trial.suggest_categorical(key, texts))

    def keep(self, value: Any) -> Any:
        """A value as Optuna keeps it; None where it is not one of these."""
        return json.dumps(value) if value in self.values else None

    @property
    def first(self) -> Any:
        """One of the values, to see that the setting exists."""
        return self.values[0]


Range = Numbers | Choice

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_PATTERN = re.compile(rf"(?P<kinds>(?:(?:int|log):)*)(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})")


def parse_range(key: str, text: str | Sequence[Any]) -> Range:
    """Read a range.

    >>> parse_range("optimizer.lr", "log:1e-4..1e-1")
    Numbers(low=0.0001, high=0.1, log=True, whole=False)
    >>> parse_range("model.depth", "int:log:1..8")
    Numbers(low=1.0, high=8.0, log=True, whole=True)
    >>> parse_range("optimizer.name", ["sgd", "muon"])
    Choice(values=('sgd', 'muon'))

    Raises ValueError for what is none.
    """
    if not isinstance(text, str):
        if not text:
            raise ValueError(f"{key} with one or more values to choose from")
        return Choice(tuple(text))
    match = _PATTERN.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{key} as 0..0.5, log:1e-4..1e-1, int:4..48 or [1, 2, 4]")
    low, high = float(match["low"]), float(match["high"])
    kinds = match["kinds"].split(":")
    whole, log = "int" in kinds, "log" in kinds
    if not low < high or (log and low <= 0) or (whole and (low % 1 or high % 1)):
        needs = "whole numbers, " if whole else "numbers above 0, " if log else ""
        raise ValueError(f"{key} with {needs}the lower one first")
    return Numbers(low, high, log, whole)
