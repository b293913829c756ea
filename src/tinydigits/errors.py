"""The one family of errors that a user can cause, and near matches for mistyped names."""

from __future__ import annotations

import difflib
import json
import re
import signal
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "DataUnavailable",
    "DataWarning",
    "EndsProcess",
    "Interrupted",
    "TinydigitsError",
    "TrainingDiverged",
    "explain_validation",
    "first_line",
    "foreign_code",
    "print_warnings",
    "printable",
    "unknown_name",
]


_TRY = "\n  try: "
# What turns the direction of all that follows, so that a line reads otherwise than it is written.
_TURNS = ("FSI", "LRE", "LRI", "LRO", "PDF", "PDI", "RLE", "RLI", "RLO")


class TinydigitsError(Exception):
    """A mistake in the input, told as: where, what was got, what was expected, what to try.

    >>> print(TinydigitsError("recipe two-conv: optimizer.lr", got=-1, expected="> 0", hint="--set optimizer.lr=0.01"))
    recipe two-conv: optimizer.lr: got -1, expected > 0
      try: --set optimizer.lr=0.01

    `where` names the file, recipe or option; `problem` says what is wrong when got/expected do not say it all. These,
    `got`, `expected` and `hint` are attributes. The command line prints the message without a traceback and exits with
    2.
    """

    def __init__(
        self,
        where: object,
        problem: str = "",
        *,
        got: object = None,
        expected: object = None,
        hint: str = "",
    ) -> None:
        self.where, self.problem, self.got, self.expected, self.hint = where, problem, got, expected, hint
        clauses = [problem] if problem else []
        if got is not None:
            clauses.append(f"got {got}")
        if expected is not None:
            clauses.append(f"expected {expected}")
        # A problem may be another error's whole message, which has a hint on a line of its own.
        details = _TRY.join(map(printable, ", ".join(clauses).split(_TRY)))
        message = printable(str(where)) + (f": {details}" if clauses else "")
        super().__init__(message + (_TRY + printable(hint) if hint else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets it with its parts, where Exception's own way would take the message for `where`."""
        return Exception.__new__, (type(self), *self.args), vars(self)


class DataUnavailable(TinydigitsError):
    """A data set that is neither on this machine nor to be had from its mirrors."""


class DataWarning(UserWarning):
    """What was left out of a data set, or is missing in it."""


class TrainingDiverged(TinydigitsError):
    """The loss became NaN or infinite; the run keeps its last good checkpoint."""


class Interrupted(TinydigitsError):
    """Training was stopped by a signal after writing a checkpoint; exit code 130 (Ctrl-C) or 143 (SIGTERM)."""

    def __init__(self, where: object, problem: str = "", *, hint: str = "", signal_number: int = signal.SIGINT) -> None:
        super().__init__(where, problem, hint=hint)
        self.signal_number = signal_number


class EndsProcess(TinydigitsError):
    """A model's or training function's own code tried to end this process; nothing can be said of it."""


@contextmanager
def foreign_code(where: object, when: str, *, hint: str = "") -> Iterator[None]:
    """Around code that is not ours, such as a model's: it may raise any exception, but not end this process.

    >>> with foreign_code("model net.py:Net", "when it is built"):
    ...     raise SystemExit(0)
    Traceback (most recent call last):
    tinydigits.errors.EndsProcess: model net.py:Net: ends the process when it is built (SystemExit: 0)

    Raises EndsProcess for `sys.exit`, `exit()` and whatever else is no `Exception`. Ctrl-C and this package's own
    signals pass, as every exception does.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        if type(error).__module__.partition(".")[0] == __name__.partition(".")[0]:
            raise
        name, text = type(error).__name__, str(error)
        problem = f"ends the process {when} ({name}{printable(': ' + first_line(error)) if text else ''})"
        raise EndsProcess(where, problem, hint=hint) from error


def first_line(error: BaseException) -> str:
    """What an error of a library says, without the pages that some add; its class where it says nothing.

    >>> first_line(ValueError("too long\\nand more")), first_line(KeyError())
    ('too long', 'KeyError')
    """
    return next(iter(str(error).splitlines()), type(error).__name__)


def print_warnings() -> None:
    """Let this process print a DataWarning as one plain line of standard error, as is right for a command line."""
    show = warnings.showwarning

    def show_plainly(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, DataWarning):
            print(f"warning: {printable(str(message))}", file=sys.stderr)
        else:
            show(message, category, *place, **options)

    warnings.showwarning = show_plainly


def printable(text: str) -> str:
    """Text on one line that every output can hold, XML too: what others wrote, a file's name, can hold anything.

    >>> print(printable("two\\nlines \\x1b[31m"))
    two\\nlines \\x1b[31m

    GitHub's runner takes `##[error]` for a command wherever it stands in a line: it gets a space.
    """
    text = text.replace("##[", "## [")
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode("ascii")
        if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(letter) in _TURNS
        or letter in "\ufffe\uffff" else letter
        for letter in text
    )  # fmt: skip


def unknown_name(where: object, name: str, known: Iterable[str], *, kind: str, hint: str = "") -> TinydigitsError:
    """An error for a name that does not exist, with the nearest names that do.

    >>> print(unknown_name("recipe x", "adm", ["adam", "sgd"], kind="optimizer"))
    recipe x: unknown optimizer 'adm', expected one of adam, sgd
      try: adam
    """
    names = sorted(known)
    # Dotted names are alike in what comes last: the table before it is the same for all of them.
    last = {candidate.rpartition(".")[2]: candidate for candidate in names}
    near = [last[match] for match in difflib.get_close_matches(name.rpartition(".")[2], last, n=3, cutoff=0.5)]
    return TinydigitsError(
        where,
        f"unknown {kind} {name!r}",
        expected="one of " + ", ".join(names) if names else None,
        hint=" or ".join(near) or hint,
    )


def explain_validation(
    where: object, error: Any, given: Any, known_keys: Callable[[list[str]], Iterable[str]]
) -> TinydigitsError:
    """Turn pydantic's first complaint into one of ours: the key, what was got, what was expected.

    `error` is a pydantic ValidationError, `given` the tree that was checked; `known_keys(location)` gives the keys of
    the table at a location, for a near match. Pydantic's locations name union members too; those that are no keys of
    `given` are left out of the message.
    """
    complaints = error.errors()
    # A mistyped key is the reason why the one that was meant is missing, so it is told first.
    first = next((complaint for complaint in complaints if complaint["type"] == "extra_forbidden"), complaints[0])
    kind, context, location = first["type"], first.get("ctx", {}), [str(part) for part in first["loc"]]
    path: list[str] = []
    branch = given
    for part in location:
        if isinstance(branch, dict) and part in branch:
            path, branch = [*path, part], branch[part]
        elif isinstance(branch, list | tuple) and part.isdigit() and int(part) < len(branch):
            path, branch = [*path, part], branch[int(part)]
    if kind == "extra_forbidden":
        near = [".".join([*path[:-1], key]) for key in known_keys(location[:-1])]
        return unknown_name(where, ".".join(path), near, kind="key")
    if kind == "missing":
        return TinydigitsError(f"{where}: {'.'.join([*path, location[-1]])}", "is required and not given")
    key = ".".join(path)
    if kind == "union_tag_invalid":
        names = context["expected_tags"].replace("'", "").split(", ")
        return unknown_name(f"{where}: {key}", context["tag"], names, kind="name")
    bounds = {"greater_than": (">", "gt"), "greater_than_equal": ("≥", "ge"), "less_than": ("<", "lt"),
              "less_than_equal": ("≤", "le")}  # fmt: skip
    if kind in bounds:
        sign, bound = bounds[kind]
        expected = f"{sign} {context[bound]:g}"
    else:
        expected = (
            context.get("expected")
            or first["msg"]
            .removeprefix("Value error, ")
            .removeprefix("Input should be ")
            .partition(" or instance of ")[0]
        )
    got = _named_in(expected, first["input"]) if isinstance(first["input"], dict) else None
    got = got or (_shortened(repr(first["input"])) if key else None)
    return TinydigitsError(f"{where}: {key}" if key else where, got=got, expected=expected)


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"


def _named_in(rule: str, table: dict[str, Any]) -> str | None:
    """What a rule between a table's keys was broken by: those that it names."""
    words = set(re.findall(r"\w+", rule))
    named = {key: value for key, value in table.items() if key in words and isinstance(value, str | int | float)}
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in named.items()) or None
