"""What the shipped weights answer to one view of each test image, and with the shifts of up to a pixel averaged.

python -m benchmarks.views             # two minutes; writes benchmarks/results/views.json
python -m benchmarks.frontier_page     # puts it into docs/frontier.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.frontier import Shipped
from benchmarks.provenance import sentence, stamp
from tinydigits import data, models, pretrained
from tinydigits.evaluate import evaluate
from tinydigits.report import text
from tinydigits.run import write_atomic

FILE = Path(__file__).parent / "results" / "views.json"
SHIFTS = {"one view": 0, "9 views": 1}


def measure() -> dict[str, Any]:
    """Right answers of every shipped model."""
    test, counts = data.load("mnist", "test"), {}
    for name in pretrained.names():
        model, card = models.load_weights(pretrained.find(name).weights)
        counts[name] = {
            what: evaluate(
                model, test.images_NHW, test.labels_N, mean=card.mean, std=card.std, shift_pixels=shift_pixels
            ).correct
            for what, shift_pixels in SHIFTS.items()
        }
        print(name, counts[name], flush=True)
    measured = stamp(weights=pretrained.names())
    return {**measured, "test_sha256": test.sha256, "seen": len(test), "correct": counts}


def load() -> dict[str, Shipped]:
    """The shipped weights and their right answers to one view, by recipe."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    weights = found["measured_on"]["weights"]
    return {
        name: Shipped(weights[name], counts["one view"], found["seen"]) for name, counts in found["correct"].items()
    }


def section() -> str:
    """The part of docs/frontier.md that compares one view with nine."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    rows = [
        [f"`{name}`", *(f"{counts[what]:,}" for what in SHIFTS), f"{counts['9 views'] - counts['one view']:+}"]
        for name, counts in found["correct"].items()
    ]
    return "\n\n".join([
        "## One view and nine",
        f"Right answers of {found['seen']:,} test images, of the weights that come with the package, each of seed 0. "
        "Which recipes are asked with nine views was decided on held-out training images.",
        text.table(["weights", *SHIFTS, "difference"], rows, "lrrr"),
        sentence(found),
    ])  # fmt: skip


def main() -> int:
    write_atomic(FILE, json.dumps(measure(), indent=1) + "\n")
    print(f"{FILE}\nnext: python -m benchmarks.frontier_page")
    return 0


if __name__ == "__main__":
    sys.exit(main())
