"""One page for one run or many: a single HTML file without scripts and without any address outside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinydigits.report import comparison as tables
from tinydigits.report import text
from tinydigits.report.breakdown import classes_table
from tinydigits.report.command import train_command
from tinydigits.report.comparison import Comparison, Entry, compare
from tinydigits.report.html.charts import curve_charts, frontier_chart, reliability_chart
from tinydigits.report.html.pictures import png_url
from tinydigits.report.kept import SetAnswers, facts, own_answers, read_curves, tested_answers
from tinydigits.report.sheets import filter_pictures
from tinydigits.run import Run, arrays_of
from tinydigits.stats import wilson_interval

__all__ = ["html_page"]

_ROOM = Path(__file__).parent
_NUM_MISTAKES, _NUM_DETAILED = 32, 20


def html_page(runs: Sequence[Run], title: str, folder: Path | None = None) -> str:
    """The page as text; links lead to the runs' own files, as seen from `folder`.

    >>> html_page([], "nothing")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: report: got no run, expected at least one
      try: tinydigits train

    Of more than twenty runs, the first twenty are shown in detail. Raises TinydigitsError where a run is damaged.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = compare(runs)
    environment = Environment(
        loader=FileSystemLoader(_ROOM), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    several = len(found.entries) > 1
    return environment.get_template("page.html.j2").render(
        title=title, css=(_ROOM / "page.css").read_text(encoding="utf-8"), several=several,
        comparison=_comparison(found) if several else None,
        runs=[_details(entry, folder) for entry in found.entries[:_NUM_DETAILED]],
        num_left=max(0, len(found.entries) - _NUM_DETAILED),
    )  # fmt: skip


def _comparison(found: Comparison) -> dict[str, Any]:
    return {
        "runs": _table(tables.runs_table(found)),
        "settings": _table(tables.settings_table(found)) if found.varied else None,
        "settings_note": tables.settings_note(found),
        "groups": _table(tables.groups_table(found)) if found.has_seeds else None,
        "seeds_note": tables.SEEDS_NOTE,
        "pairs": _table(tables.pairs_table(found)) if found.pairs else None,
        "pairs_note": tables.pairs_note(found),
        "frontier": frontier_chart(found) if found.placed() else None,
        "split": found.split,
        "detailed": _NUM_DETAILED,
    }


def _table(parts: tuple[list[str], list[list[str]], str]) -> dict[str, Any]:
    head, rows, align = parts
    return {"head": list(zip(head, align, strict=True)), "rows": [list(zip(row, align, strict=True)) for row in rows]}


def _details(entry: Entry, folder: Path | None) -> dict[str, Any]:
    """What the template shows of one run."""
    run, record, verdict = entry.run, entry.record, entry.verdict
    samples = arrays_of(run, "samples.npz")
    curves = read_curves(run, record)
    sets = [answers for answers in (tested_answers(run, verdict), own_answers(record, samples)) if answers is not None]
    filters = samples.get("filters", np.empty(0))
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
        "figures": [
            {
                "split": split,
                "share": text.percent(correct / seen),
                "counts": f"{correct:,} of {seen:,}",
                "interval": text.interval(wilson_interval(correct, seen)),
            }
            for split, (correct, seen) in sorted(entry.counts.items(), key=lambda item: item[0] != "test")
        ],
        "sets": [_answers(answers, record.classes) for answers in sets],
        "filters": [(name, png_url(picture)) for name, picture in filter_pictures(filters)] if filters.size else [],
        "num_filters": len(filters),
        "filter_shape": "×".join(map(str, filters.shape[1:])),
        "facts": list(facts(record)),
        "command": train_command(record),
        "parameters": f"{record.num_parameters:,}",
        "seconds": text.duration(record.seconds.training),
    }


def _answers(answers: SetAnswers, classes: Sequence[str]) -> dict[str, Any]:
    confusion_KK = answers.confusion_KK
    wrong_KK = confusion_KK - np.diag(np.diag(confusion_KK))
    most = max(1, int(wrong_KK.max()))
    cells = [
        [
            (int(count), "right" if row == column else f"s{-(-5 * int(count) // most)}" if count else "")
            for column, count in enumerate(counts)
        ]
        for row, counts in enumerate(confusion_KK)
    ]
    shown = min(_NUM_MISTAKES, len(answers.mistakes.labels_N))
    mistakes = [
        {
            "url": png_url(answers.mistakes.images_NHW[index]),
            "label": classes[int(answers.mistakes.labels_N[index])],
            "answer": classes[int(answers.mistakes.predicted_N[index])],
            "sure": f"{100 * min(float(answers.mistakes.probability_N[index]), 0.9999):.1f} %",
        }
        for index in range(shown)
    ]
    error = answers.calibration_error
    return {
        "what": answers.what,
        "wrong": answers.seen - answers.correct,
        "error": None if error is None else f"{error:.4f}",
        "classes": classes,
        "cells": list(zip(classes, cells, strict=True)),
        "per_class": _table(classes_table(confusion_KK, classes)),
        "mistakes": mistakes,
        "reliability": None if answers.reliability is None else reliability_chart(answers.reliability),
    }
