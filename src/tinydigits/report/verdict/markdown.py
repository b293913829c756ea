"""Markdown, for pull requests, step summaries and README files."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tinydigits.escape import Markdown, markdown
from tinydigits.report import text
from tinydigits.text import source_label
from tinydigits.verdict import Finding, Verdict

__all__ = ["findings", "render"]


def render(verdict: Verdict, before: Verdict | None = None) -> str:
    """A table of findings, what to do about those that do not pass, and what exactly was judged."""
    head = [f"### {markdown(verdict.headline)}", f"{verdict.summary}."]
    head += [f"**{markdown(note)}**" for note in verdict.target.notes]
    return "\n\n".join([*head, *findings(verdict, before), *_judged(verdict)]) + "\n"


def findings(verdict: Verdict, before: Verdict | None = None) -> Iterator[str]:
    """The table alone, and under it what to do."""
    head, rows = ["check", "measured", "limit", "finding", "why"], []
    if before is not None:
        head.insert(2, "before")
    earlier = {finding.check: finding for finding in before.findings} if before is not None else {}
    for finding in verdict.findings:
        status = Markdown("pass" if finding.status == "pass" else f"**{finding.status}**")
        row = [finding.check, finding.measured, finding.limit, status, finding.why]
        if before is not None:
            row.insert(2, change(finding, earlier.get(finding.check)))
        rows.append(row)
    yield text.table(head, rows)
    if before is not None:
        yield from _what_changed(verdict, before)
    advised = [finding for finding in verdict.findings if finding.advice]
    if advised:
        items = (f"- **{markdown(finding.check)}**: {markdown(finding.advice)}" for finding in advised)
        yield "What to do:\n\n" + "\n".join(items)


def change(finding: Finding, before: Finding | None) -> str:
    """What an earlier verdict measured for the same check, and by how much that changed.

    >>> earlier = Finding("model.parameters", "pass", "98", value=98)
    >>> change(Finding("model.parameters", "fail", "110", value=110), earlier)
    '98 (+12), pass'
    """
    if before is None:
        return "not asked"
    was, now, difference = before.value, finding.value, ""
    if was is not None and now is not None and was != now and math.isfinite(now - was):
        difference = f" ({round(now - was, 4):+,})"
    status = "" if before.status == finding.status else before.status
    return ", ".join(filter(None, [before.measured + difference, status]))


def _what_changed(verdict: Verdict, before: Verdict) -> Iterator[str]:
    checks = {finding.check for finding in verdict.findings}
    dropped = [finding.check for finding in before.findings if finding.check not in checks]
    if dropped:
        yield f"No longer asked: {markdown(', '.join(dropped))}."
    if before.contract.sha256 != verdict.contract.sha256:
        yield "The contract is not the one of the verdict before."


def _judged(verdict: Verdict) -> Iterator[str]:
    facts = [f"weights {verdict.target.weights_sha256[:12]}"] if verdict.target.weights_sha256 else []
    facts += [f"{data.num_images:,} images of {source_label(data.source)} {data.split}" for data in verdict.data]
    facts += [f"{name} {number}" for name, number in verdict.versions.items()]
    if facts:
        yield "Judged: " + markdown(", ".join(facts)) + "."
