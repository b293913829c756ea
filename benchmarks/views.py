"""What the shipped weights answer to one view of each test image, and with the shifts of up to a pixel averaged."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.protocol import RESULTS, read_rows, write_rows
from benchmarks.provenance import sentence, stamp
from tinydigits import data, models, pretrained
from tinydigits.evaluate import evaluate
from tinydigits.report import text

FILE = RESULTS / "views.json"
SHIFTS = {"one view": 0, "9 views": 1}


@dataclass(frozen=True)
class Shipped:
    """The weights of a recipe that come with the package, and their right answers to one view of each test image."""

    weights_sha256: str
    correct: int
    seen: int

    @property
    def accuracy(self) -> float:
        """The accuracy with one view, as a share of 1."""
        return self.correct / self.seen


def measure() -> None:
    """Ask every shipped model; two minutes."""
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
    write_rows(FILE, {**measured, "test_sha256": test.sha256, "seen": len(test), "correct": counts})
    print("next: python -m benchmarks frontier page")


def load() -> dict[str, Shipped]:
    """The shipped weights and their right answers to one view, by recipe."""
    found = read_rows(FILE)
    weights = found["measured_on"]["weights"]
    return {
        name: Shipped(weights[name], counts["one view"], found["seen"]) for name, counts in found["correct"].items()
    }


def section() -> str:
    """The part of docs/frontier.md that compares one view with nine."""
    found = read_rows(FILE)
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


COMMANDS = (measure,)
