"""Many runs as rows of a table: read from small JSON files alone, filtered and sorted by any column or setting."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinydigits.documents import Document, parse_document
from tinydigits.errors import TinydigitsError, first_line, printable, unknown_name
from tinydigits.run.difference import leaves
from tinydigits.run.folder import FORMAT, Record
from tinydigits.run.lookup import LATEST, folders_in, runs_in, start_of
from tinydigits.verdict import FORMAT as VERDICT_FORMAT
from tinydigits.verdict import Verdict

__all__ = ["COLUMNS", "Listing", "list_runs", "parse_condition", "select", "sort_rows", "value_of"]

Row = Mapping[str, Any]
"""A run's columns; its whole recipe stands under `settings`, as `optimizer.lr` and the like."""

_UNREADABLE = (TinydigitsError, ValueError, KeyError, TypeError, OSError, ZeroDivisionError)
_DEEPEST = 3  # runs/STUDY/PART/RUN: what lies deeper is not looked for


@dataclass(frozen=True)
class Listing:
    """The runs of a folder, and why each other folder was passed over."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def _test_accuracy(verdict: Verdict | None) -> float | None:
    counts = verdict.test_counts if verdict is not None else None
    return counts[0] / counts[1] if counts else None


_READ: dict[str, Callable[[Record, Verdict | None], Any]] = {
    "recipe": lambda record, verdict: record.recipe["name"],
    "model": lambda record, verdict: record.recipe["model"]["name"],
    "data": lambda record, verdict: record.source,
    "seed": lambda record, verdict: record.recipe["seed"],
    "parameters": lambda record, verdict: record.num_parameters,
    "epochs": lambda record, verdict: record.epochs,
    "accuracy": lambda record, verdict: record.result.accuracy if record.result else None,
    "split": lambda record, verdict: record.result.split if record.result else None,
    "test": lambda record, verdict: _test_accuracy(verdict),
    "verdict": lambda record, verdict: verdict.word if verdict is not None else None,
    "seconds": lambda record, verdict: round(record.seconds.training, 3),
    "state": lambda record, verdict: record.status,
    "started": lambda record, verdict: record.started_at,
}

COLUMNS = ("run", *_READ)
"""What `list_runs` tells of each run. `accuracy` is the training's own, on its `split`; `test` is the verifier's."""


def list_runs(out: str | Path = "runs") -> Listing:
    """Every run under a folder, oldest first, also those in folders of their own, such as a sweep's.

    >>> list_runs("nowhere").rows
    []

    Reads `record.json` and `verdict.json`, and takes the verdict to be on the weights that are there. Accuracies are
    shares of 1, seconds those of training. Hidden folders and links are left alone; a folder that has no run in it, or
    a run that cannot be read, is in `skipped` with the reason, and so is a folder `latest` that is not the newest run.
    """
    listing = Listing()
    if Path(out).is_dir():
        _list_folder(str(out), "", 1, listing)
    listing.rows.sort(key=lambda row: (start_of(row["started"]), row["run"]))
    return listing


def _list_folder(folder: str, prefix: str, depth: int, listing: Listing) -> bool:
    """Whether there was any run, readable or not."""
    try:
        names = sorted(folders_in(folder))
    except OSError as error:
        listing.skipped[printable(prefix.rstrip("/"))] = error.strerror or str(error)
        return True
    has_runs = False
    for name in names:
        path, label = f"{folder}/{name}", f"{prefix}{name}"
        try:
            row = _read_row(path, label)
        except _UNREADABLE as error:
            listing.skipped[printable(label)] = _reason(error)
            has_runs = True
            continue
        if row is not None and name == LATEST and runs_in(folder)[-1].name != LATEST:
            listing.skipped[label] = "a folder in the place of the newest run"
        elif row is not None:
            listing.rows.append(row)
            has_runs = True
        elif depth < _DEEPEST and _list_folder(path, f"{label}/", depth + 1, listing):
            has_runs = True
        elif depth == 1:
            listing.skipped[printable(label)] = "no run in it"
    return has_runs


def _read_row(path: str, label: str) -> dict[str, Any] | None:
    record = _read(path, Record, newest=FORMAT)
    if record is None:
        return None
    verdict = _read(path, Verdict, newest=VERDICT_FORMAT)
    row: dict[str, Any] = {"run": printable(label)}
    for column, read in _READ.items():
        value = read(record, verdict)
        row[column] = printable(value) if isinstance(value, str) else value
    start_of(row["started"])  # raises where it is no time
    return row | {"settings": record.recipe}


def _read(folder: str, model: type[Document], *, newest: int) -> Document | None:
    """A run's document of this type, None where it has none."""
    kind = model.__name__.lower()
    try:
        with open(f"{folder}/{kind}.json", "rb") as file:  # noqa: PTH123 (a third of the time of Path.read_bytes, thousands of times)
            tree = json.loads(file.read())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise TinydigitsError(f"damaged {kind}.json") from error
    return parse_document(tree, model, kind, newest=newest)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return first_line(error) if isinstance(error, TinydigitsError) else "damaged record"


# Filtering and sorting.


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "==": operator.eq, "=": operator.eq, "<": operator.lt,
    ">": operator.gt, "~": lambda value, part: part in str(value),
}  # fmt: skip
_CONDITION = re.compile(r"\s*([\w.-]+?)\s*(<=|>=|!=|==|=|<|>|~)\s*(.*?)\s*", re.S)


@dataclass(frozen=True)
class Condition:
    """One condition on a column."""

    column: str
    sign: str
    value: float | str

    def holds(self, row: Row) -> bool:
        """Whether a row keeps it; what a row does not have is different from everything."""
        value = value_of(row, self.column)
        if value is None:
            return self.sign == "!="
        if self.sign != "~" and isinstance(value, (int, float)) != isinstance(self.value, (int, float)):
            if self.sign in ("=", "==", "!="):
                return (str(value) == str(self.value)) != (self.sign == "!=")
            kind = "a number" if isinstance(value, (int, float)) else "a word"
            raise TinydigitsError(
                f"condition {self.column}{self.sign}{self.value}", f"{self.column} is {kind}, such as {value}"
            )
        return _OPERATORS[self.sign](value, str(self.value) if self.sign == "~" else self.value)


def parse_condition(text: str) -> Condition:
    """A condition as people write it: a column or a setting, a sign, a value.

    >>> parse_condition("parameters < 10_000"), parse_condition("accuracy>=99.4%").value
    (Condition(column='parameters', sign='<', value=10000.0), 0.994)

    Signs are `<`, `<=`, `>`, `>=`, `=`, `!=`, and `~` for "contains". Raises TinydigitsError for anything else.
    """
    match = _CONDITION.fullmatch(text)
    if not match or not match[3]:
        raise TinydigitsError(f"condition {text!r}", "cannot be read", hint="--where 'parameters<10000'")
    column, sign, words = match.groups()
    share = words.endswith("%")
    try:
        number = float(words.rstrip("% ").replace(",", "").replace("_", ""))
    except ValueError:
        return Condition(column, sign, words)
    return Condition(column, sign, round(number / 100, 12) if share else number)


def value_of(row: Row, column: str) -> Any:
    """A column of a row, or a setting of its recipe by its dotted name; None where it has neither."""
    if column in row:
        return row[column]
    value: Any = row["settings"]
    for part in column.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def select(rows: Iterable[Row], conditions: Sequence[Condition]) -> list[Row]:
    """The rows that keep all conditions; raises TinydigitsError for a column that none of the rows has.

    >>> rows = [{"run": "a", "settings": {"optimizer": {"lr": 0.1}}}, {"run": "b", "settings": {}}]
    >>> [row["run"] for row in select(rows, [parse_condition("optimizer.lr>0.01")])]
    ['a']
    """
    rows = list(rows)
    for condition in conditions:
        _must_exist(rows, condition.column)
    return [row for row in rows if all(condition.holds(row) for condition in conditions)]


def sort_rows(rows: Iterable[Row], key: str) -> list[Row]:
    """The rows by a column or setting, smallest first, with `-` before its name largest first; those without it last.

    >>> rows = [{"run": "a", "seed": None}, {"run": "b", "seed": 1}, {"run": "c", "seed": 2}]
    >>> [row["run"] for row in sort_rows(rows, "-seed")]
    ['c', 'b', 'a']
    """
    rows, column = list(rows), key.removeprefix("-")
    _must_exist(rows, column)
    known = [row for row in rows if value_of(row, column) is not None]
    known.sort(key=lambda row: _order(value_of(row, column)), reverse=key.startswith("-"))
    return known + [row for row in rows if value_of(row, column) is None]


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers before words, so that a column of both can be sorted."""
    return (0, float(value), "") if isinstance(value, (int, float)) else (1, 0.0, str(value))


def _must_exist(rows: Sequence[Row], column: str) -> None:
    if column in COLUMNS or not rows or any(value_of(row, column) is not None for row in rows):
        return
    known = {*COLUMNS, *(name for row in rows for name, _ in leaves(row["settings"]))}
    raise unknown_name("runs ls", column, known, kind="column")
