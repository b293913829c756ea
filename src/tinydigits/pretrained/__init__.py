"""Trained models that come with the package: each a run's folder here, found by its name.

Importing this room, and all that it tells of a model, does not import torch; what `predict` needs of it, not even
pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tinydigits.errors import unknown_name
from tinydigits.figures import percent
from tinydigits.table import Table

if TYPE_CHECKING:
    from tinydigits.models import WeightsCard
    from tinydigits.run import Run
    from tinydigits.verdict import Verdict

__all__ = ["Pretrained", "Shelf", "find", "names"]

_ROOM = Path(__file__).parent


@dataclass(frozen=True)
class Pretrained:
    """A trained model of the package: its run, with weights, record, recipe and the verdict on the test images.

    >>> found = find("gap-cnn-tuned")
    >>> found.run.record.num_parameters, found.card.model, found.weights.name
    (9274, 'gap-cnn', 'weights.safetensors')

    The run is for reading: nothing is to be written into the installed package.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name, which is that of the recipe."""
        return self.folder.name

    @property
    def run(self) -> Run:
        """The folder as a run."""
        from tinydigits.run import Run

        return Run(self.folder)

    @property
    def onnx(self) -> Path:
        """The ONNX file beside the weights, as `tinydigits export FOLDER onnx` wrote it."""
        return self.folder / f"{self.name}.onnx"

    @property
    def weights(self) -> Path:
        """The safetensors file; `models.load_weights` builds the model from it."""
        return self.run.file("weights.safetensors")

    @property
    def card(self) -> WeightsCard:
        """What the weights say of themselves: architecture, classes, normalisation."""
        from tinydigits.models import read_card

        return read_card(self.weights)

    @property
    def verdict(self) -> Verdict:
        """The verdict that the weights had when they were put here; `tinydigits verify NAME` judges again."""
        from tinydigits.verdict import load

        return load(self.run.file("verdict.json"))

    @property
    def test_counts(self) -> tuple[int, int]:
        """Right answers and images asked, of the official test images.

        >>> correct, seen = find("gap-cnn-tuned").test_counts
        >>> seen
        10000
        """
        counts = self.verdict.test_counts
        assert counts is not None  # what is shipped has been counted
        return counts


class Shelf(list[Pretrained]):
    """The trained models of the package, shown as a table."""

    def table(self) -> Table:
        """Name, architecture, sizes and test accuracy of each; an asterisk where several views were averaged.

        >>> print(Shelf([find("sprint")]).table())
        trained  architecture  parameters  buffers    bytes  test accuracy  seed
        sprint   six-conv          24,938      278  104,240        99.40 %     0
        """
        rows: list[list[str]] = []
        shifted: dict[int, list[str]] = {}
        for model in self:
            record, (correct, seen) = model.run.record, model.test_counts
            shift_pixels = record.recipe["evaluation"]["shift_pixels"]
            if shift_pixels:
                shifted.setdefault(shift_pixels, []).append(model.name)
            rows.append([
                model.name, model.card.model, f"{record.num_parameters:,}", f"{record.num_buffers:,}",
                f"{model.weights.stat().st_size:,}", percent(correct / seen) + "*" * bool(shift_pixels),
                str(record.recipe["seed"]),
            ])  # fmt: skip
        notes = [
            f"* the mean answer to all shifts of up to {px} px: {', '.join(names)}" for px, names in shifted.items()
        ]
        head = ["trained", "architecture", "parameters", "buffers", "bytes", "test accuracy", "seed"]
        return Table(head, rows, "llrrrrr", notes)

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def names() -> list[str]:
    """The trained models that come with the package, by name.

    >>> "gap-cnn-tuned" in names()
    True
    """
    return sorted(path.parent.name for path in _ROOM.glob("*/weights.safetensors"))


def find(name: str) -> Pretrained:
    """A trained model by its name; raises TinydigitsError for one that is not there.

    >>> find("gap-cnn-tuned").card.source
    'mnist'
    """
    if name not in names():
        raise unknown_name("pretrained", name, names(), kind="pretrained model", hint="tinydigits models ls")
    return Pretrained(_ROOM / name)
