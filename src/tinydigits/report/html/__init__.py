"""One page for one run or many: a single HTML file without scripts and without any address outside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinydigits import figures
from tinydigits.escape import template
from tinydigits.report import comparison as tables
from tinydigits.report.breakdown import classes_table
from tinydigits.report.charts import curve_charts, frontier_chart, reliability_chart
from tinydigits.report.command import train_command
from tinydigits.report.comparison import Entry, compare
from tinydigits.report.kept import read_curves
from tinydigits.report.run_report import answer_charts, filters_chart
from tinydigits.report.svg import STYLE
from tinydigits.run import Answers, Record, Run, answers_of, arrays_of, facts_of
from tinydigits.stats import wilson_interval

__all__ = ["html_page"]

_ROOM = Path(__file__).parent
_NUM_DETAILED = 20


def html_page(runs: Sequence[Run], title: str, folder: Path | None = None) -> str:
    """The page as text; links lead to the runs' own files, as seen from `folder`.

    >>> html_page([], "nothing")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: report: got no run, expected at least one
      try: tinydigits train

    Of more than twenty runs, the first twenty are shown in detail. Raises TinydigitsError where a run is damaged.
    """
    comparison = compare(runs)
    several = len(comparison.entries) > 1
    return template(_ROOM / "page.html.j2").render(
        title=title, css=STYLE.read_text(encoding="utf-8") + (_ROOM / "page.css").read_text(encoding="utf-8"),
        several=several, comparison=comparison, tables=tables, words=figures, wilson_interval=wilson_interval,
        frontier=frontier_chart(comparison) if several and comparison.placed() else None,
        runs=[_details(entry, folder) for entry in comparison.entries[:_NUM_DETAILED]],
        num_left=max(0, len(comparison.entries) - _NUM_DETAILED),
    )  # fmt: skip


def _details(entry: Entry, folder: Path | None) -> dict[str, Any]:
    """What the template shows of one run."""
    run, record, verdict = entry.run, entry.record, entry.verdict
    curves = read_curves(run, record)
    filters = arrays_of(run, "samples.npz").get("filters", np.empty(0))
    return {
        "id": f"run-{entry.number}",
        "number": entry.number,
        "name": f"{record.recipe['name']} on {record.source_label}, seed {record.recipe['seed']}",
        "folder": run.name,
        "path": os.path.relpath(run.folder, folder) if folder else str(run.folder),
        "status": record.status,
        "epochs": f"{record.epochs} of {record.recipe['epochs']} epochs",
        "verdict": verdict,
        "curves": curve_charts(curves) if curves else [],
        "counts": sorted(entry.counts.items(), key=lambda item: item[0] != "test"),
        "sets": [_answers(record, answers) for answers in answers_of(run)],
        "filters": filters_chart(record, filters) if filters.size else None,
        "facts": list(facts_of(record)),
        "command": train_command(record),
        "parameters": f"{record.num_parameters:,}",
        "seconds": figures.duration(record.seconds.training),
    }


def _answers(record: Record, answers: Answers) -> dict[str, Any]:
    confusion, mistakes = answer_charts(record, answers)
    error = answers.calibration_error
    return {
        "what": answers.what,
        "confusion": confusion,
        "error": None if error is None else f"{error:.4f}",
        "per_class": classes_table(answers.confusion_KK, record.classes),
        "mistakes": mistakes if len(answers.mistakes.labels_N) else None,
        "reliability": None if answers.reliability is None else reliability_chart(answers.reliability),
    }
