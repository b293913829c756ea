"""Records as Markdown and pictures: reads run folders, never a model or an image set, so nothing here needs torch."""

from tinydigits.report.command import is_shipped, train_command
from tinydigits.report.html import html_page
from tinydigits.report.pages import write_reports
from tinydigits.report.readme import fill_readme
from tinydigits.report.results import Claims, Row, Structure, System, load_claims, load_rows, results_page
from tinydigits.report.run_report import write_run_report
from tinydigits.report.verdict import formats, render

__all__ = [
    "Claims", "Row", "Structure", "System", "fill_readme", "formats", "html_page", "is_shipped", "load_claims",
    "load_rows", "render", "results_page", "train_command", "write_reports",
    "write_run_report",
]  # fmt: skip
