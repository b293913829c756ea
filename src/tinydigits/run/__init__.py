"""Runs: plain folders of files that one training wrote; found, read, written, compared and removed without torch."""

from tinydigits.run.answers import Answers, Mistakes, Paired, answers_of, arrays_of, comparable_answers, pair
from tinydigits.run.difference import Difference, find_differences, leaves, settings_of
from tinydigits.run.facts import facts_of
from tinydigits.run.folder import (
    FORMAT,
    Record,
    Result,
    Run,
    Seconds,
    create,
)
from tinydigits.run.listing import (
    COLUMNS,
    Listing,
    list_runs,
    parse_condition,
    select,
    sort_rows,
    value_of,
)
from tinydigits.run.lookup import at_latest, is_run_name, open_run, runs_in
from tinydigits.run.removal import find_removable, remove
from tinydigits.run.writing import write_atomic, write_new, write_output

__all__ = [
    "COLUMNS", "FORMAT", "Answers", "Difference", "Listing", "Mistakes", "Paired", "Record", "Result", "Run",
    "Seconds", "answers_of", "arrays_of", "at_latest", "comparable_answers", "create", "facts_of", "find_differences",
    "find_removable", "is_run_name", "leaves", "list_runs", "open_run", "pair", "parse_condition", "remove", "runs_in",
    "select", "settings_of", "sort_rows", "value_of", "write_atomic", "write_new", "write_output",
]  # fmt: skip
