"""GitHub's workflow commands: an error on the page of the run, and beside the model's file, for all that does not pass.

The escapes are those of GitHub's own toolkit (github.com/actions/toolkit, packages/core/src/command.ts).
"""

from __future__ import annotations

from tinydigits.errors import printable
from tinydigits.verdict import Verdict

__all__ = ["render"]


def render(verdict: Verdict, before: Verdict | None = None) -> str:
    """One command a line; nothing where the verdict holds of the run's own code."""
    file, _, class_name = (verdict.target.model or "").rpartition(":")
    place = f"file={_escape_property(file)}," if file.endswith(".py") and class_name else ""
    target = verdict.target
    kinds = {target.code_note: "warning", target.sandbox_note: "notice" if target.refused else "warning"}
    lines = [f"::{kind} {place}title=tinydigits::{_escape(note)}\n" for note, kind in kinds.items() if note]
    for finding in verdict.not_passed:
        message = _escape("\n".join(filter(None, (finding.sentence, finding.why, finding.advice))))
        lines.append(f"::error {place}title={_escape_property('tinydigits: ' + finding.check)}::{message}\n")
    return "".join(lines)


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(printable(text)).replace(":", "%3A").replace(",", "%2C")
