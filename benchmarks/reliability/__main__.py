"""Inject the faults of a kind, as many as are claimed, and keep the result; or write the page from what is kept.

    python -m benchmarks.reliability KIND [--cases N]    # writes benchmarks/results/reliability/KIND.json and the page
    python -m benchmarks.reliability page                # writes docs/reliability.md

A command that was stopped goes on, when it is called again, after the last row that it finished. Exit code 1 where a
fault was not held.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.reliability import kinds, measure
from benchmarks.reliability.page import PAGE, page


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the words ask for."""
    known = kinds()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*known, "page"])
    parser.add_argument("--cases", type=int, help="how many of each row; otherwise as many as are claimed")
    options = parser.parse_args(arguments)
    rows = [] if options.what == "page" else measure(known[options.what], options.cases)
    PAGE.write_text(page(), encoding="utf-8")
    return int(not all(row.is_held for row in rows))


if __name__ == "__main__":
    sys.exit(main())
