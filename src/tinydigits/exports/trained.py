"""What is exported: a trained model, its card, and how its exported forms take their images.

Shapes: N images, B images a batch, H × W pixels, K classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinydigits import data, models
from tinydigits.data import ImageSet
from tinydigits.errors import TinydigitsError
from tinydigits.models import Code, WeightsCard
from tinydigits.run import Run, write_output

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "Answer", "NotAsked", "TooLarge", "Trained", "answer_of", "answer_of_weights", "grey_card", "grey_model",
    "of_run", "one_by_one", "softmax", "unsure_below",
]  # fmt: skip

_KEPT, _NUM_ASKED = 0.99, 2_000

Answer = Callable[[np.ndarray], np.ndarray]
"""From uint8 images (N, 28, 28) to probabilities, float32 (N, K)."""


class TooLarge(TinydigitsError):
    """A model that is larger than a format may be by its own rule; nothing is wrong with either."""


class NotAsked(TinydigitsError):
    """A file that nothing on this machine can ask, so that its parity stays open."""


@dataclass(frozen=True)
class Trained:
    """A trained model in eval mode on the CPU, the card of its weights, and the run that trained it, if it is at hand.

    `weights` is the file that it was read from, `code` what it was built by, `data_folder` where its data are now, if
    they have moved.
    """

    model: nn.Module
    card: WeightsCard
    weights: Path
    run: Run | None = None
    code: Code | None = None
    data_folder: str | None = None
    _sets: dict[str, ImageSet] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def origin(self) -> data.Origin:
        """The data set that it was trained on: the run's record says where it lies, a card only what it is called."""
        source, sha256 = self.card.source, self.card.data_sha256 or ""
        if self.run is not None:
            source, sha256 = self.run.record.source, self.run.record.data_sha256
        return data.Origin(self.data_folder or source, sha256)

    @property
    def shift_pixels(self) -> int:
        """How far its recipe shifts an image when it is asked, 0 for not at all; exported files are asked once."""
        recipe = self.run.record.recipe if self.run else {}
        return int(recipe.get("evaluation", {}).get("shift_pixels", 0))

    @property
    def stem(self) -> str:
        """What its exported files are called: the recipe's name, or else the model's."""
        name = self.card.recipe or self.card.model.rpartition(":")[2]
        return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.") or "model"

    def images(self, split: str) -> ImageSet:
        """The images that it was trained on, or the test images of the same data set, each read once.

        Raises TinydigitsError where the training images are gone or have changed.
        """
        return self.origin.load(split, read=self._read)

    def _read(self, source: str, split: str) -> ImageSet:
        if split not in self._sets:
            self._sets[split] = data.load(source, split)
        return self._sets[split]

    def answer(self, images_NHW: np.ndarray) -> np.ndarray:
        """The checkpoint's own probabilities (N, K), one view of each image: no test-time augmentation."""
        return answer_of(self.model, self.card.mean, self.card.std)(images_NHW)

    def write(self, path: Path, content: str | bytes) -> Path:
        """Write an exported file and give its path: in the run's folder as one of its own, elsewhere as a shell's `>`.

        Raises TinydigitsError where it cannot be written, or is a pipe or a device: the file is read back afterwards.
        """
        if self.run is not None and path.parent.samefile(self.run.folder):
            self.run.write(path.name, content)
        elif path.exists() and not path.is_file():
            raise TinydigitsError(str(path), "is not a regular file", hint="--to FOLDER, another one")
        else:
            write_output(path, content)
        return path


def of_run(run: Run, *, data_folder: str | None = None, model: str | None = None, command: str = "") -> Trained:
    """The model of a finished run; raises TinydigitsError for a run that is unfinished or damaged.

    `data_folder` is where its data are now, if they have moved. `model` names the class that it is built by: for code
    that was not named yet, or has changed since it was trained; `command` is the command line that this would be added
    to.
    """
    if run.record.status != "finished":
        raise TinydigitsError(
            f"run {run.folder}", f"is not finished but {run.record.status}",
            hint=f"tinydigits train --resume {run.folder}",
        )  # fmt: skip
    weights = run.file("weights.safetensors")
    module, card, code = models.open_weights(weights, named=model, recorded=run.record.code_sha256, command=command)
    return Trained(module, card, weights, run, code, data_folder and data.locate(data_folder))


def answer_of(model: nn.Module, mean: float, std: float) -> Answer:
    """Ask a module of torch that takes images normalised by `mean` and `std` and gives logits."""
    import torch

    from tinydigits.data.batches import normalise

    def answer(images_NHW: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits_NK = model(normalise(torch.from_numpy(images_NHW), mean, std))
            probabilities_NK: np.ndarray = torch.softmax(logits_NK.float(), dim=1).numpy()
        return probabilities_NK

    return answer


def answer_of_weights(path: Path, spec: str | None = None) -> Answer:
    """Build the model of a weights file anew, by the code that `spec` names, and ask it by torch."""
    model, card = models.load_weights(path, spec=spec)
    return answer_of(model, card.mean, card.std)


def grey_model(trained: Trained, *, plain_weights: bool = False) -> nn.Module:
    """The model with its normalisation inside: grey levels, float (B, 1, 28, 28) of 0 (paper) to 1 (ink), to logits.

    With `plain_weights` what a parametrization computes from its parameters stands in their place, for formats that
    would leave some of it to every call. The trained model stays as it is.
    """
    from torch import nn

    model = models.with_plain_weights(trained.model) if plain_weights else trained.model

    class Grey(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.model((images - trained.card.mean) / trained.card.std)
            return logits

    return Grey().eval()


def grey_card(trained: Trained) -> WeightsCard:
    """The card of a file that normalises by itself.

    A card's `mean` and `std` say what its file wants done to images of 0 to 1 before it takes them: here nothing.
    """
    return trained.card.model_copy(update={"mean": 0.0, "std": 1.0, "unsure_below": unsure_below(trained)})


def unsure_below(trained: Trained) -> float:
    """The probability that 99 of 100 training images' answers reach; an answer below it may well be of no digit.

    How sure a model is of what it knows differs from recipe to recipe; label smoothing alone moves it by 0.1. So the
    limit is the model's own, from 2,000 training images at equal distances; test images have no part in it.
    """
    train = trained.images("train").images_NHW
    chosen_NHW = train[np.linspace(0, len(train) - 1, min(_NUM_ASKED, len(train))).astype(int)]
    answers_NK = [trained.answer(chosen_NHW[at : at + 250]) for at in range(0, len(chosen_NHW), 250)]
    return round(float(np.quantile(np.concatenate(answers_NK).max(axis=1), 1 - _KEPT)), 4)


def softmax(logits_NK: np.ndarray) -> np.ndarray:
    """From logits to probabilities.

    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    powers_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return powers_NK / powers_NK.sum(axis=1, keepdims=True)


def one_by_one(logits_of: Callable[[np.ndarray], np.ndarray]) -> Answer:
    """Ask a file that takes one image a call: from grey levels, float32 (1, 1, 28, 28), to logits (1, K).

    >>> one_by_one(lambda grey_1CHW: grey_1CHW[:, 0, 0, :2])(np.zeros((3, 28, 28), np.uint8)).shape
    (3, 2)
    """

    def answer(images_NHW: np.ndarray) -> np.ndarray:
        grey_NCHW = images_NHW[:, None].astype(np.float32) / np.float32(255)
        return softmax(np.concatenate([logits_of(grey_NCHW[at : at + 1]) for at in range(len(grey_NCHW))]))

    return answer
