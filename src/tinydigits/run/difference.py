"""In what two runs differ: settings, circumstances and results, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tinydigits.run.folder import Record, Run

__all__ = ["Difference", "find_differences", "leaves", "settings_of"]


@dataclass(frozen=True)
class Difference:
    """One value that is not the same in both; None where a run does not have it."""

    kind: Literal["setting", "circumstance", "result"]
    name: str
    first: Any
    second: Any


# Words about a recipe decide nothing, and the settings stand among themselves.
_NO_SETTING = ("description", "contract")
_RESULTS = ("epochs", "steps", "images_seen", "images_for_statistics", "num_parameters", "num_buffers")
_CIRCUMSTANCES = (
    "source", "num_train", "num_validation", "data_sha256", "teachers_sha256", "code_sha256", "device", "threads",
    "machine", "versions", "git_commit", "resumed",
)  # fmt: skip


def find_differences(first: Run, second: Run) -> list[Difference]:
    """Every setting of the recipe, circumstance of the training and result that is not the same in both runs.

    Settings are named as `--set` takes them. Raises TinydigitsError where a run has no record.
    """
    one, other = _facts(first), _facts(second)
    names = list(dict.fromkeys([*one, *other]))
    return [
        Difference(kind, name, one.get((kind, name)), other.get((kind, name)))
        for kind, name in sorted(names, key=lambda key: ("setting", "circumstance", "result").index(key[0]))
        if one.get((kind, name)) != other.get((kind, name))
    ]


_Facts = dict[tuple[Literal["setting", "circumstance", "result"], str], Any]


def _facts(run: Run) -> _Facts:
    record = run.record.model_dump(mode="json")
    facts: _Facts = {("setting", name): value for name, value in settings_of(run.record).items()}
    for key in _CIRCUMSTANCES:
        facts |= {
            ("circumstance", name): value for name, value in leaves({key: record[key]}) if value not in (None, {})
        }
    facts[("result", "status")] = record["status"]
    facts |= {("result", key): record[key] for key in _RESULTS}
    result = run.record.result
    if result is not None:
        facts[("result", f"{result.split} accuracy")] = result.accuracy
        facts[("result", f"{result.split} loss")] = result.loss
        facts[("result", f"{result.split} calibration error")] = result.calibration_error
    verdict = run.verdict
    if verdict is not None and verdict.test_counts:
        facts[("result", "test accuracy")] = verdict.test_counts[0] / verdict.test_counts[1]
    if verdict is not None:
        facts[("result", "verdict")] = f"{verdict.contract.name}: {verdict.word}"
    facts |= {("result", f"seconds of {key.replace('_', '-')}"): value for key, value in record["seconds"].items()}
    facts[("result", "peak_memory_bytes")] = record["peak_memory_bytes"]
    return facts


def settings_of(record: Record) -> dict[str, Any]:
    """A recorded recipe's settings by the names that `--set` takes, such as `optimizer.lr`."""
    return dict(leaves({key: value for key, value in record.recipe.items() if key not in _NO_SETTING}))


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """What stands in tables within tables, by dotted names.

    >>> dict(leaves({"epochs": 2, "optimizer": {"lr": 0.1}}))
    {'epochs': 2, 'optimizer.lr': 0.1}
    """
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
