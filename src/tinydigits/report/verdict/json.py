"""The verdict itself, for machines: the same text as in a run's `verdict.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["render"]


def render(verdict: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """The tree as JSON."""
    return json.dumps(verdict, indent=2, allow_nan=False) + "\n"
