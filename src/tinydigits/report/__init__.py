"""Records as Markdown and pictures: reads run folders, never a model or an image set, so nothing here needs torch."""

from tinydigits.report.command import is_shipped, train_command
from tinydigits.report.results import Claims, Row, Structure, System, load_claims, load_rows, results_page
from tinydigits.report.run_report import write_run_report

__all__ = [
    "Claims", "Row", "Structure", "System", "is_shipped", "load_claims", "load_rows", "results_page",
    "train_command", "write_run_report",
]  # fmt: skip
