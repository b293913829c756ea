"""GitHub's workflow commands: an error on the page of the run, and beside the model's file, for all that does not pass.

The escapes are those of GitHub's own toolkit (github.com/actions/toolkit, packages/core/src/command.ts).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinydigits.errors import printable
from tinydigits.report.verdict import _words
from tinydigits.run import code_note

__all__ = ["render"]


def render(verdict: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """One command a line; nothing where the verdict holds of the run's own code."""
    file, _, class_name = str(verdict["target"].get("model", "")).rpartition(":")
    place = f"file={_escape_property(file)}," if file.endswith(".py") and class_name else ""
    note = code_note(verdict["target"])
    lines = [f"::warning {place}title=tinydigits::{_escape(note)}\n"] if note else []
    for finding in _words.not_passed(verdict):
        parts = map(printable, (_words.sentence(finding), finding["why"], finding.get("advice", "")))
        message = _escape("\n".join(filter(None, parts)))
        lines.append(f"::error {place}title={_escape_property('tinydigits: ' + finding['check'])}::{message}\n")
    return "".join(lines)


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(printable(text)).replace(":", "%3A").replace(",", "%2C")
