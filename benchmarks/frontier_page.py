"""Make docs/frontier.md and docs/frontier.png from the rows and anchors in benchmarks/results.

python -m benchmarks.frontier_page            # write them
python -m benchmarks.frontier_page --check    # exit 1 where they differ
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.experiments import load_plan
from tinydigits import pretrained
from tinydigits.report import (
    Aim,
    Point,
    draw_frontier,
    frontier_page,
    load_anchors,
    load_rows,
    measured_points,
    png_bytes,
)
from tinydigits.run import write_atomic

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "frontier.md"
PICTURE = PAGE.with_suffix(".png")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make docs/frontier.md and docs/frontier.png from the rows.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where one differs")
    options = parser.parse_args(arguments)
    points, anchors = load_points(), load_anchors(RESULTS / "anchors.toml")
    page = frontier_page(points, anchors)
    # Another matplotlib draws other bytes, so the picture says of which page it is.
    mark = hashlib.sha256(page.encode("utf-8")).hexdigest()
    if not options.check:
        write_atomic(PAGE, page)
        write_atomic(PICTURE, png_bytes(draw_frontier(points, anchors), description=mark))
        print(PAGE, PICTURE, sep="\n")
        return 0
    found = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    with Image.open(PICTURE) as picture:
        drawn_of = picture.info.get("Description")
    if found == page and drawn_of == mark:
        return 0
    lines = difflib.unified_diff(found.splitlines(), page.splitlines(), "docs/frontier.md", "its records", lineterm="")
    print("\n".join(lines) or f"{PICTURE.name} is of another page")
    print("next: python -m benchmarks.frontier_page")
    return 1


def load_points() -> list[Point]:
    """Every model of the project that has rows, with what was aimed at."""
    rows = [*load_rows(RESULTS / "reference"), *load_rows(RESULTS / "records")]
    aims = {planned.recipe: Aim(planned.accuracy, planned.seeds, planned.note) for planned in load_plan()}
    return measured_points(rows, pretrained.names(), aims)


if __name__ == "__main__":
    sys.exit(main())
