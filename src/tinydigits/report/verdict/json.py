"""The verdict itself, for machines: the same text as in a run's `verdict.json`."""

from __future__ import annotations

from tinydigits.verdict import Verdict

__all__ = ["render"]


def render(verdict: Verdict, before: Verdict | None = None) -> str:
    """The document as JSON."""
    return verdict.to_json()
