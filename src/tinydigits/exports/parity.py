"""Whether an exported file answers as the checkpoint does, asked on every test image of the model's own data set.

Shapes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tinydigits.exports.trained import Answer, Trained
from tinydigits.figures import percent, points
from tinydigits.text import source_label

__all__ = ["MAX_DROP", "Format", "Parity", "Rule", "compare"]

Rule = Literal["same class", "accuracy"]

MAX_DROP = 0.001  # of a quantised model's accuracy: 0.1 points
_BATCH = 500


@dataclass(frozen=True)
class Format:
    """What is done for one format.

    `load(path)` gives what can be asked, from uint8 images to probabilities; it raises NotAsked where this machine has
    nothing to ask the file with. With `builds` it builds the model anew, by the code that a second argument names.
    `parity` is the rule by which its answers must agree with the checkpoint's, `needs` are files of a run that it is
    made of beside the weights, and `note(path)` may add a line.
    """

    write: Callable[[Trained, Path], Path]
    load: Callable[..., Answer] | None = None
    parity: Rule = "same class"
    builds: bool = False
    needs: tuple[str, ...] = ()
    note: Callable[[Path], str] = lambda path: ""


@dataclass(frozen=True)
class Parity:
    """An exported file's answers beside the checkpoint's, on `seen` images; counts and one largest difference.

    >>> counts = {"seen": 10_000, "same": 9_999, "correct_before": 9_941, "correct_after": 9_940}
    >>> parity = Parity("same class", "mnist", **counts, largest_difference=0.5)
    >>> parity.holds, Parity(**{**vars(parity), "rule": "accuracy"}).holds
    (False, True)

    `same class` asks for the same class on every image; `accuracy`, for quantised models, that at most 0.1 points of
    accuracy are lost. `largest_difference` is that of a probability, over all images and classes.
    """

    rule: Rule
    source: str
    seen: int
    same: int
    correct_before: int
    correct_after: int
    largest_difference: float

    @property
    def holds(self) -> bool:
        """Whether the rule is kept."""
        if self.rule == "same class":
            return self.same == self.seen
        return self.correct_before - self.correct_after <= MAX_DROP * self.seen

    def __str__(self) -> str:
        sentences = (
            f"same class on {self.same:,} of {self.seen:,} {source_label(self.source)} test images, "
            f"largest probability difference {self.largest_difference:.1e}"
        )
        if self.rule == "accuracy":
            before, after = (correct / self.seen for correct in (self.correct_before, self.correct_after))
            change = f"{points(after - before)} points; {points(-MAX_DROP)} allowed"
            sentences += f", accuracy {percent(before)} → {percent(after)} ({change})"
        return f"parity {'holds' if self.holds else 'does not hold'}: {sentences}"


def compare(trained: Trained, answer: Answer, rule: Rule) -> Parity:
    """Ask the checkpoint for all test images, then the exported file, and count.

    >>> from tinydigits import models
    >>> from pathlib import Path
    >>> card = models.WeightsCard(model="two-conv", source="digits", classes=[*"0123456789"], mean=0.1307, std=0.3081)
    >>> trained = Trained(models.build("two-conv").eval(), card, Path("weights.safetensors"))
    >>> compare(trained, trained.answer, "same class").same
    596
    """
    test = trained.images("test")
    before_NK, after_NK = (_ask(answer_of, test.images_NHW) for answer_of in (trained.answer, answer))
    before_N, after_N = before_NK.argmax(axis=1), after_NK.argmax(axis=1)
    difference = float(np.abs(before_NK - after_NK).max())
    return Parity(
        rule=rule, source=trained.origin.source, seen=len(test),
        # A model that answers NaN has no class.
        same=int((before_N == after_N)[np.isfinite(after_NK).all(axis=1)].sum()),
        correct_before=int((before_N == test.labels_N).sum()), correct_after=int((after_N == test.labels_N).sum()),
        largest_difference=difference,
    )  # fmt: skip


def _ask(answer: Answer, images_NHW: np.ndarray) -> np.ndarray:
    return np.concatenate([answer(images_NHW[at : at + _BATCH]) for at in range(0, len(images_NHW), _BATCH)])
