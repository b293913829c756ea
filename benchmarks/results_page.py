"""Make docs/results.md from the rows in benchmarks/results.

    python -m benchmarks.results_page            # write it
    python -m benchmarks.results_page --check    # exit 1 where it differs

Accuracies, times and memory come from the rows. Receptive field and multiply-adds are traced here, from today's models.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from tinydigits import models
from tinydigits.report import Row, Structure, load_claims, load_rows, results_page
from tinydigits.run import write_atomic
from tinydigits.trace import trace

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "results.md"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make docs/results.md from the rows in benchmarks/results.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where the page differs")
    options = parser.parse_args(arguments)
    page = make_page()
    if not options.check:
        PAGE.parent.mkdir(exist_ok=True)
        write_atomic(PAGE, page)
        print(PAGE)
        return 0
    found = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    if found == page:
        return 0
    lines = difflib.unified_diff(found.splitlines(), page.splitlines(), "docs/results.md", "its records", lineterm="")
    print("\n".join(lines))
    print("next: python -m benchmarks.results_page")
    return 1


def make_page(results: Path = RESULTS) -> str:
    """The page of the rows and claims in a folder."""
    rows = load_rows(results / "reference")
    return results_page(rows, load_claims(results / "claims.toml"), structures(rows))


def structures(rows: Sequence[Row]) -> dict[str, Structure]:
    """The trace of every model that the rows name, by its name."""
    options = {row.record.recipe["model"]["name"]: row.record.recipe["model"].get("options", {}) for row in rows}
    found = {name: trace(models.build(name, options[name])) for name in options}
    return {name: Structure(graph.num_parameters, graph.receptive_field, graph.macs) for name, graph in found.items()}


if __name__ == "__main__":
    sys.exit(main())
