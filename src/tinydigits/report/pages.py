"""The files that `tinydigits report` writes: for each run its own pages, for several one that compares them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tinydigits.report.charts import frontier_chart
from tinydigits.report.comparison import compare, comparison_page
from tinydigits.report.html import html_page
from tinydigits.report.run_report import write_run_report
from tinydigits.run import Run, write_atomic

__all__ = ["write_reports"]


def write_reports(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write `report.md` and `report.html`: of one run into the run, of several into `folder`, and give their paths.

    Of several, `frontier.svg` stands beside them, and each run's own `report.md` and pictures are written, too. Raises
    TinydigitsError where a run is damaged.
    """
    if len(runs) == 1:
        (run,) = runs
        record = run.record
        title = f"{record.recipe['name']} on {record.source_label}, seed {record.recipe['seed']}"
        page = html_page(runs, title, run.folder)
        run.write("report.html", page)
        return [write_run_report(run), run.folder / "report.html"]
    title = f"{len(runs)} runs of {folder.resolve().name}"
    write_atomic(folder / "report.html", html_page(runs, title, folder))
    comparison = compare(runs)
    if comparison.placed():
        write_atomic(folder / "frontier.svg", frontier_chart(comparison, title).file())
    write_atomic(folder / "report.md", comparison_page(comparison, title, folder))
    for run in runs:
        if not (run.folder / "report.md").is_file():
            write_run_report(run)
    return [folder / "report.md", folder / "report.html"]
