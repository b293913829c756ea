"""What is to be verified, and how: one message of plain fields, which goes through JSON unchanged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from tinydigits.contract import Contract
from tinydigits.data.model_input import Levels
from tinydigits.run import at_latest, is_run_name

__all__ = ["InputFacts", "Request", "Retraining"]

_Name = Annotated[str, BeforeValidator(lambda name: os.fspath(name) if isinstance(name, os.PathLike) else name)]
_Contract = Annotated[
    Contract,
    PlainSerializer(lambda contract: {"text": contract.text, "limits": contract.model_dump(exclude_unset=True)}),
    BeforeValidator(lambda tree: Contract.with_text(**tree) if _is_written(tree) else tree),
]


def _is_written(tree: Any) -> bool:
    return isinstance(tree, dict) and tree.keys() == {"limits", "text"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputFacts(_Part):
    """What is known of a model's input; None where it is not. The fields are those of `Subject`."""

    input_shape: tuple[int, ...] | None = None
    mean: Levels | None = None
    std: Levels | None = None
    resize: bool | None = None
    num_classes: int | None = None

    def known(self) -> dict[str, Any]:
        """The facts that there are, by field."""
        return {name: value for name, value in self if value is not None}


class Retraining(_Part):
    """How to train anew: by a recipe (the run's own, or a named one), or by a function `file.py:train`."""

    recipe: str | None = None
    function: str | None = None
    seeds: int | None = None


class Request(_Part):
    """A target, the contract that it is held against, and how.

    >>> request = Request(target="net.py:Net", contract="under-25k", options={"width": 8})
    >>> Request.model_validate_json(request.model_dump_json()) == request
    True

    `target` is a run's folder (None: the latest in `runs`), a registered model, `file.py:Class` or
    `package.module:Class`, a file of weights that says what model it belongs to, a `.pt2` or an `.onnx`. A class is
    built with `options`, and has the `weights` of a file or fresh ones. `model` names the class that a run, or a file
    of weights, is built by: for code that was not named yet, or has changed since it was trained. `input` is how the
    model takes its images; what it leaves open the target itself says, or the contract, or MNIST's usual input is
    assumed.

    The contract, a name, a file or the limits themselves, is that of the run's recipe unless one is given. Accuracy is
    measured on the data set that the contract names, else on the one that the model was trained on; with a shipped
    contract that the recipe alone names, always on the latter. `data` comes before all of these. With `retraining` the
    target is first trained anew, under the contract's budget and in a sandboxed process; the outcome is judged.
    """

    target: _Name | None = None
    contract: _Name | _Contract | None = None
    runs: _Name = "runs"
    weights: _Name | None = None
    options: dict[str, Any] = {}
    model: str | None = None
    input: InputFacts = InputFacts()
    data: _Name | None = None
    device: str = "cpu"
    threads: int | None = None
    retraining: Retraining | None = None

    @property
    def name(self) -> str:
        """The target as written, empty for the latest run."""
        return self.target or ""

    @property
    def is_folder(self) -> bool:
        """Whether it names a run's folder, here or in `runs`."""
        return bool(self.target) and is_run_name(self.name, self.runs)

    def is_file(self, *suffixes: str) -> bool:
        """Whether a file of one of these kinds is named, whether or not it is there."""
        return Path(self.name).suffix in suffixes and not self.is_folder

    def at_latest(self) -> Request:
        """The same, with the newest run's folder for each path that `latest` stands in."""
        paths = {"target": self.target, "weights": self.weights}
        return self.model_copy(update={name: path and str(at_latest(path, self.runs)) for name, path in paths.items()})
