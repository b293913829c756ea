"""Markdown, for pull requests, step summaries and README files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tinydigits.escape import Markdown, markdown
from tinydigits.report import text
from tinydigits.report.verdict import _words
from tinydigits.run import code_note
from tinydigits.text import source_label

__all__ = ["findings", "render"]


def render(verdict: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """A table of findings, what to do about those that do not pass, and what exactly was judged."""
    head = [f"### {markdown(_words.headline(verdict))}", f"{_words.count(verdict)}."]
    if note := code_note(verdict["target"]):
        head.append(f"**{markdown(note)}**")
    return "\n\n".join([*head, *findings(verdict, before), *_judged(verdict)]) + "\n"


def findings(verdict: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The table alone, and under it what to do."""
    head, rows = ["check", "measured", "limit", "finding", "why"], []
    if before is not None:
        head.insert(2, "before")
    earlier = {finding["check"]: finding for finding in (before or {}).get("findings", [])}
    for finding in verdict["findings"]:
        status = Markdown("pass" if finding["status"] == "pass" else f"**{markdown(finding['status'])}**")
        row = [finding["check"], finding["measured"], finding["limit"], status, finding["why"]]
        if before is not None:
            row.insert(2, _words.change(finding, earlier.get(finding["check"])))
        rows.append(row)
    yield text.table(head, rows)
    if before is not None:
        yield from _what_changed(verdict, before)
    advised = [finding for finding in verdict["findings"] if finding.get("advice")]
    if advised:
        items = (f"- **{finding['check']}**: {markdown(finding['advice'])}" for finding in advised)
        yield "What to do:\n\n" + "\n".join(items)


def _what_changed(verdict: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    asked = {finding["check"] for finding in verdict["findings"]}
    dropped = [finding["check"] for finding in before["findings"] if finding["check"] not in asked]
    if dropped:
        yield f"No longer asked: {markdown(', '.join(dropped))}."
    if before["contract"].get("sha256") != verdict["contract"].get("sha256"):
        yield "The contract is not the one of the verdict before."


def _judged(verdict: Mapping[str, Any]) -> Iterator[str]:
    facts = []
    if verdict["target"].get("weights_sha256"):
        facts.append(f"weights {verdict['target']['weights_sha256'][:12]}")
    facts += [
        f"{data['num_images']:,} images of {source_label(data['source'])} {data['split']}"
        for data in verdict.get("data", [])
    ]
    facts += [f"{name} {number}" for name, number in verdict.get("versions", {}).items()]
    if facts:
        yield "Judged: " + markdown(", ".join(facts)) + "."
