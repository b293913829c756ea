"""What several formats say in the same words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tinydigits.escape import quoted

__all__ = ["change", "count", "headline", "not_passed", "sentence"]

_STATUSES = ("pass", "fail", "undecided", "not run")


def headline(verdict: Mapping[str, Any]) -> str:
    """Which model, which contract, and the word; a name of several words is quoted, since it could say anything.

    >>> headline({"verdict": "holds", "target": {"name": "net"}, "contract": {"name": "small"}})
    'net against small: holds'
    """
    return f"{quoted(verdict['target']['name'])} against {quoted(verdict['contract']['name'])}: {verdict['verdict']}"


def count(verdict: Mapping[str, Any]) -> str:
    """How many findings of each kind.

    >>> count({"findings": [{"status": "pass"}, {"status": "pass"}, {"status": "not run"}]})
    '2 pass, 1 not run'
    """
    statuses = [finding["status"] for finding in verdict["findings"]]
    return ", ".join(f"{statuses.count(status)} {status}" for status in _STATUSES if status in statuses)


def not_passed(verdict: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The findings that keep a verdict from holding: what is undecided or was not run does not hold either."""
    return (finding for finding in verdict["findings"] if finding["status"] != "pass")


def sentence(finding: Mapping[str, Any]) -> str:
    """Measured and limit on one line.

    >>> sentence({"status": "fail", "measured": "98", "limit": "at most 97"})
    'fail: 98, limit: at most 97'
    """
    parts = [finding["measured"], finding["limit"] and f"limit: {finding['limit']}"]
    return f"{finding['status']}: {', '.join(filter(None, parts))}"


def change(finding: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """What an earlier verdict found for the same check, and by how much that changed.

    >>> earlier = {"check": "model.parameters", "status": "pass", "measured": "98", "value": 98}
    >>> change({"status": "fail", "measured": "110", "value": 110}, earlier)
    '98 (+12), pass'
    """
    if before is None:
        return "not asked"
    was, now = before.get("value"), finding.get("value")
    numbers = [value for value in (was, now) if isinstance(value, (int, float))]
    difference = f" ({round(numbers[1] - numbers[0], 4):+,})" if len(numbers) == 2 and was != now else ""
    status = "" if before["status"] == finding["status"] else before["status"]
    return ", ".join(filter(None, [before["measured"] + difference, status]))
