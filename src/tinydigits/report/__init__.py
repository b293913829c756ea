"""Records as Markdown and pictures: reads run folders, never a model or an image set, so nothing here needs torch."""

from tinydigits.report import _matplotlib  # noqa: F401 (before any other import of matplotlib)
from tinydigits.report.command import is_shipped, train_command
from tinydigits.report.html import html_page
from tinydigits.report.pages import write_reports
from tinydigits.report.readme import fill_readme
from tinydigits.report.run_report import write_run_report
from tinydigits.report.style import png_bytes
from tinydigits.report.verdict import formats, load_verdict, render

__all__ = [
    "fill_readme", "formats", "html_page", "is_shipped", "load_verdict", "png_bytes", "render", "train_command",
    "write_reports", "write_run_report",
]  # fmt: skip
