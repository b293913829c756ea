"""Golden runs: the first losses of every recipe, so that a refactor shows whether it changed the mathematics.

Write them anew with `python tests/golden/test_losses.py`, only when the mathematics was meant to change.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path

import pytest

from tinydigits import recipe
from tinydigits.training import Progress, Reporter, train

FILE = Path(__file__).with_name("losses.json")
STEPS = 10
SURE_STEPS = 4


class Enough(Exception):
    """Ends a training after its first steps."""


class Listener(Reporter):
    def __init__(self, num_steps: int) -> None:
        self.losses: list[float] = []
        self.num_steps = num_steps

    def on_progress(self, progress: Progress) -> None:
        self.losses += progress.step_losses
        if len(self.losses) >= self.num_steps:
            raise Enough


def first_losses(name: str, num_steps: int = STEPS) -> list[float]:
    """The losses of a recipe's first steps (fewer where it has fewer), on the bundled digits in fp32, on one thread."""
    loaded = recipe.load(name)
    part = loaded.data.model_copy(update={"source": "digits", "validation": min(200, loaded.data.validation)})
    loaded = loaded.model_copy(update={"data": part, "precision": "fp32", "fused": False})  # which is for bf16 alone
    listener = Listener(num_steps)
    with tempfile.TemporaryDirectory() as out, contextlib.suppress(Enough):
        train(loaded, out=out, threads=1, reporter=listener)
    return listener.losses[:num_steps]


@pytest.mark.parametrize("name", recipe.names())
def test_the_first_losses_are_the_golden_ones(name: str) -> None:
    # Other processors and versions of torch add in another order. Adam's first steps, which divide each gradient by its
    # own size, make much of that: two processors' losses of se-resnet were 3 % apart after seven steps.
    losses, golden = first_losses(name), json.loads(FILE.read_text(encoding="utf-8"))[name]
    assert losses[:SURE_STEPS] == pytest.approx(golden[:SURE_STEPS], rel=2e-3, abs=2e-3)
    assert losses == pytest.approx(golden, rel=0.06)


if __name__ == "__main__":
    FILE.write_text(
        json.dumps({name: first_losses(name) for name in recipe.names()}, indent=1) + "\n", encoding="utf-8"
    )
