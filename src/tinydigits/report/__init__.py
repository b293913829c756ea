"""Records as Markdown and pictures: reads run folders, never a model or an image set, so nothing here needs torch."""

from tinydigits.report import _matplotlib  # noqa: F401 (before any other import of matplotlib)
from tinydigits.report.command import is_shipped, train_command
from tinydigits.report.frontier import Aim, Anchor, Point, draw_frontier, frontier_page, load_anchors, measured_points
from tinydigits.report.html import html_page
from tinydigits.report.pages import write_reports
from tinydigits.report.readme import fill_readme
from tinydigits.report.results import Claims, Row, Structure, System, load_claims, load_rows, results_page
from tinydigits.report.run_report import write_run_report
from tinydigits.report.style import png_bytes
from tinydigits.report.verdict import formats, load_verdict, render

__all__ = [
    "Aim", "Anchor", "Claims", "Point", "Row", "Structure", "System", "draw_frontier", "fill_readme", "formats",
    "frontier_page", "html_page", "is_shipped", "load_anchors", "load_claims", "load_rows", "load_verdict",
    "measured_points", "png_bytes", "render", "results_page", "train_command", "write_reports", "write_run_report",
]  # fmt: skip
