"""Records as Markdown and pictures: reads run folders, never a model or an image set, so nothing here needs torch."""

from tinydigits.report.command import train_command
from tinydigits.report.html import html_page
from tinydigits.report.pages import write_reports
from tinydigits.report.readme import fill_readme
from tinydigits.report.run_report import write_run_report
from tinydigits.report.verdict import formats, render

__all__ = ["fill_readme", "formats", "html_page", "render", "train_command", "write_reports", "write_run_report"]
