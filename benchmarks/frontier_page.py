"""Make docs/frontier.md and docs/frontier.png from the rows and anchors in benchmarks/results.

python -m benchmarks.frontier_page            # write them
python -m benchmarks.frontier_page --check    # exit 1 where they differ
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image

from benchmarks import views
from benchmarks.experiments import load_plan
from benchmarks.frontier import (
    Aim,
    Numbers,
    Point,
    draw_frontier,
    frontier_page,
    load_anchors,
    measured_points,
)
from benchmarks.style import png_bytes
from tinydigits import models
from tinydigits.report import Row, load_rows
from tinydigits.run import write_atomic
from tinydigits.trace import trace
from tinydigits.trace.graph import op_name

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "frontier.md"
PICTURE = PAGE.with_suffix(".png")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make docs/frontier.md and docs/frontier.png from the rows.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where one differs")
    options = parser.parse_args(arguments)
    points, anchors = load_points(), load_anchors(RESULTS / "anchors.toml")
    page = f"{frontier_page(points, anchors)}\n{views.section()}\n"
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
    return measured_points(rows, numbers_of(rows), views.load(), aims)


def numbers_of(rows: Sequence[Row]) -> dict[str, Numbers]:
    """What the model of each row's recipe reads to answer, by recipe."""
    parts = {row.recipe: row.record.recipe["model"] for row in rows}
    return {
        recipe: _count_numbers(model["name"], json.dumps(model.get("options", {}))) for recipe, model in parts.items()
    }


_ARITHMETIC = {"add", "div", "mul", "pow", "rsub", "sub"}


@cache
def _count_numbers(model: str, options: str) -> Numbers:
    found = trace(models.build(model, json.loads(options)), train=False)
    nodes = found.graphs[-1].nodes
    read = sum(found.graphs[-1].values[node].numel() for node in found.graphs[-1].buffers)
    epsilons = sum(op_name(node) == "batch_norm" for node in nodes)
    literals = [value for node in nodes if op_name(node) in _ARITHMETIC for value in node.args]
    return Numbers(
        parameters=found.num_parameters - found.num_unused,
        statistics=read - found.num_buffer_weights,
        constants=found.num_buffer_weights + found.num_constants + epsilons
        + sum(isinstance(value, int | float) for value in literals)
        + 2,  # the input's mean and standard deviation
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
