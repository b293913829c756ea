"""A run's verdict inside a README, between two markers; the rest of the page is left as it is."""

from __future__ import annotations

import re

from tinydigits import figures
from tinydigits.errors import TinydigitsError
from tinydigits.escape import code, markdown
from tinydigits.machine import machine_words
from tinydigits.report import text
from tinydigits.report.command import train_command
from tinydigits.run import Run

__all__ = ["BEGIN", "END", "fill_readme"]

BEGIN, END = "<!-- tinydigits: verdict -->", "<!-- end -->"
_PART = re.compile(rf"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.S)


def fill_readme(page: str, run: Run, where: str = "README.md") -> str:
    """The page with the run's verdict between its markers.

    >>> fill_readme("# net", Run("runs/latest"))
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: README.md: has no place for a verdict
      try: a line <!-- tinydigits: verdict --> and after it a line <!-- end -->

    Raises TinydigitsError where the page has no markers, or the run no verdict of the weights that it has now.
    """
    if not _PART.search(page):
        raise TinydigitsError(where, "has no place for a verdict", hint=f"a line {BEGIN} and after it a line {END}")
    verdict = run.verdict
    if verdict is None:
        hint = f"tinydigits verify {run.folder}"
        raise TinydigitsError(f"run {run.folder}", "has no verdict of these weights", hint=hint)
    record = run.record
    rows = [[finding.check, finding.measured, finding.limit, finding.status] for finding in verdict.findings]
    parts = [
        f"Contract {markdown(verdict.contract.name)}: **{verdict.word}** ({verdict.summary}).",
        *filter(None, [markdown(verdict.target.code_note)]),
        text.table(["check", "measured", "limit", "finding"], rows),
        f"Trained by {code(train_command(record))} in {figures.duration(record.seconds.training)}"
        f" on {markdown(machine_words(record.machine))},"
        f" with torch {markdown(record.versions.get('torch', 'unknown'))};"
        " this part is written by `tinydigits report --readme`.",
    ]
    return _PART.sub(lambda _: "\n\n".join(parts) + "\n", page, count=1)
