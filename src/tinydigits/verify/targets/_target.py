"""What the user named and said of it, and what it turned out to be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from tinydigits.checks import Subject
from tinydigits.data import Origin
from tinydigits.data.model_input import Levels
from tinydigits.models import WeightsCard
from tinydigits.run import Run, is_run_name
from tinydigits.verdict import JudgedTarget

__all__ = ["Asked", "InputSaid", "Kind", "Target", "of_card", "training_set"]


@dataclass(frozen=True)
class InputSaid:
    """What somebody says of a model's input; None where nothing is said. The fields are those of `Subject`."""

    input_shape: tuple[int, ...] | None = None
    mean: Levels | None = None
    std: Levels | None = None
    resize: bool | None = None
    num_classes: int | None = None

    def facts(self) -> dict[str, Any]:
        """What was said, by field."""
        return {name: value for name, value in vars(self).items() if value is not None}


_NOTHING = InputSaid()


@dataclass(frozen=True)
class Asked:
    """What the user named: a module itself, or its name; None where the latest run of the folder `out` is meant.

    `weights` and `options` go with a class: the file that its weights come from, and its arguments. `model` goes with a
    run or a file of weights: the class that the user names for it.
    """

    target: str | nn.Module | None
    out: Path = Path("runs")
    device: str = "cpu"
    weights: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None

    @property
    def text(self) -> str:
        """The name as written, empty for a module and for the latest run."""
        return self.target if isinstance(self.target, str) else ""

    @property
    def is_folder(self) -> bool:
        """Whether it names a run's folder, here or in `out`."""
        return bool(self.text) and is_run_name(self.text, self.out)

    def is_file(self, *suffixes: str) -> bool:
        """Whether a file of one of these kinds is named, whether or not it is there."""
        return Path(self.text).suffix in suffixes and not self.is_folder


@dataclass(frozen=True)
class Target:
    """What will be judged: the subject of the checks, and the facts that a verdict states of it.

    `says` is what the target itself says of its input, which counts more than what a contract says. `contract` names
    the contract that it comes with, if any.
    """

    subject: Subject
    facts: JudgedTarget
    says: InputSaid = _NOTHING
    contract: str | None = None
    run: Run | None = None

    def as_told(self, by_user: InputSaid = _NOTHING, by_contract: InputSaid = _NOTHING) -> Target:
        """The same, with its input as it is said: by the user, by itself, by the contract, in this order."""
        voices = {"the contract": by_contract, "the target": self.says, "the command line": by_user}
        values, origins = {}, {}
        for voice, said in voices.items():
            for name, value in said.facts().items():
                values[name], origins[name] = value, voice
        subject = replace(self.subject, **values)
        assumed = [name for name in ("input_shape", "mean", "std") if name not in values]
        input_facts = {
            "input_shape": subject.input_shape, "mean": subject.mean, "std": subject.std, "resize": subject.resize,
            "num_classes": subject.num_classes, "input_origins": origins | dict.fromkeys(assumed, "nobody"),
        }  # fmt: skip
        facts = self.facts.model_copy(update=input_facts)
        return replace(self, subject=subject, facts=facts)


def training_set(card: WeightsCard | None) -> dict[str, Any]:
    """What a card says of the training's data set, by the fields of `Subject`."""
    if card is None:
        return {}
    return {"classes": tuple(card.classes), "trained_on": Origin(card.source, card.data_sha256 or "")}


def of_card(card: WeightsCard) -> InputSaid:
    """What a card says of the input of its model."""
    return InputSaid(card.input_shape, card.mean, card.std, num_classes=len(card.classes))


@dataclass(frozen=True)
class Kind:
    """A kind of target: what it is in words, whether a target is one, and how it is loaded.

    Kinds of a lower `order` look more closely and are asked first. What `builds` is built from nothing, so that it can
    be given weights and options. What `names_code` says itself what model it is of, and the user can name the code.
    """

    name: str
    order: int
    takes: Callable[[Asked], bool]
    load: Callable[[Asked], Target]
    builds: bool = False
    names_code: bool = False
