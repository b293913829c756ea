"""What is being checked, and the ways in which a check may touch it: always as a copy.

Shapes: B images a batch, C channels, H × W pixels, K classes.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits import data
from tinydigits.data.model_input import Levels, ModelInput
from tinydigits.errors import TinydigitsError
from tinydigits.evaluate import Evaluation, Output, evaluate, logits_of, recognise_output
from tinydigits.text import source_label
from tinydigits.trace import Contradiction, Trace, duplicate, fingerprint, materialised, set_mode, trace
from tinydigits.verdict import Finding

__all__ = ["Subject", "Training", "isolated_random_state", "logits_of"]

_NUM_ASKED_AGAIN, _MOST_TIES = 250, 0.02


@dataclass(frozen=True)
class Training:
    """What a run's record says of the training, or what was seen of one; the weights cannot tell.

    `begins` tells what it began with from other weights, where that was seen; `foreign` says why the weights are not of
    this training, and `doubt` why its counts are not known to be all.
    """

    epochs: int
    images_seen: int
    num_train: int
    peak_memory_bytes: int
    finished: bool = True
    seconds: float = 0.0
    machine: str = ""
    origin: str = "from the record"
    begins: str = ""
    foreign: str = ""
    doubt: str = ""

    @property
    def objection(self) -> str:
        """Why its counts meet no budget, whatever they are; empty where nothing is wrong with them."""
        if not self.finished:
            return "the training did not finish"
        return self.foreign if self.images_seen else "no training image was seen: the weights come from elsewhere"

    def admit(self, finding: Finding) -> Finding:
        """A finding on its counts; undecided where they would pass, and are not known to be all."""
        if finding.status != "pass" or not self.doubt:
            return finding
        return replace(finding, status="undecided", why=self.doubt)


def _no_baseline(run: str) -> Subject:
    raise TinydigitsError(f"baseline {run}", "no baseline can be loaded here")


@dataclass(frozen=True)
class Subject:
    """A model with all that a check needs to ask it; checks work on copies, so the model stays as it is.

    >>> subject = Subject(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), name="linear")
    >>> with subject.borrow() as model:
    ...     logits_of(model, subject.images(2)).shape
    torch.Size([2, 10])

    `input_shape`, `mean`, `std` and `resize` say how it takes its images (see `ModelInput`). `spec` and `options`
    rebuild the model from nothing, where it has a name. `trained` is False for fresh weights: accuracy is then not
    asked. `classes` are those that it was trained for and `trained_on` the images, where that is known. `load_images`
    gives a data set by source and split, `relabel` the same with labels of the model's own. `shift_pixels` is the
    test-time augmentation that the model's accuracy is claimed with. `file` is what holds the weights, where they come
    from a file. `siblings` gives the same training with other seeds, `baseline` what a contract names to be compared
    with. `lacks` says what the target's format cannot be asked, and why: `train` (train mode), `gradients`, `state`
    (weights to save and load),
    `devices`, `structure`, other `batches` than its own, or a kind of layer that it does not show. `read_structure`
    gives the module that the graph is read from, where it is another than the one that answers. `rebuild` builds the
    model anew, with other fresh weights. Where `model` is the graph of a stranger's code, `own_answers` gives what that
    code answers itself, to images and from a seed.
    """

    model: nn.Module
    name: str = "model"
    input_shape: tuple[int, ...] = (1, 28, 28)
    num_classes: int = 10
    mean: Levels = 0.1307
    std: Levels = 0.3081
    resize: bool = False
    device: str = "cpu"
    spec: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    trained: bool = False
    classes: tuple[str, ...] = ()
    trained_on: data.Origin | None = None
    training: Training | None = None
    shift_pixels: int = 0
    file: Path | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)
    read_structure: Callable[[], nn.Module] | None = None
    rebuild: Callable[[], nn.Module] | None = None
    own_answers: Callable[[Tensor, int], Tensor] | None = None
    load_images: Callable[[str, str], data.ImageSet] = data.load
    relabel: Callable[[data.ImageSet], data.ImageSet] = lambda images: images
    siblings: Callable[[], Sequence[Subject]] = tuple
    baseline: Callable[[str], Subject] = _no_baseline
    evaluations: dict[tuple[str, str], tuple[data.ImageSet, Evaluation]] = field(default_factory=dict, compare=False)

    @cached_property
    def trace(self) -> Trace:
        """The model's graph; raises TinydigitsError when it has none."""
        if "structure" in self.lacks:
            raise TinydigitsError(f"model {self.name}", self.lacks["structure"])
        read = self.model if self.read_structure is None else self.read_structure()
        return trace(read, tuple(self.input_shape), train="train" not in self.lacks)

    @property
    def model_input(self) -> ModelInput:
        """How the model takes its images."""
        return ModelInput(tuple(self.input_shape), self.mean, self.std, self.resize)

    @cached_property
    def output(self) -> Output:
        """What the model's answers are, recognised from those to 32 images."""
        with self.borrow() as model, torch.no_grad():
            return recognise_output(logits_of(model, self.images(32)).double())

    @property
    def modes(self) -> tuple[bool, ...]:
        """The modes that it can be asked in: eval (False) and, where there is one, train (True)."""
        return (False,) if "train" in self.lacks else (False, True)

    def recorded(self) -> Training:
        """What a run's record says of the training.

        Raises TinydigitsError, which becomes a finding *not run*, where there is none.
        """
        if self.training is None:
            hint = "verify the run that `tinydigits train` wrote, or train it anew within the verdict: --retrain"
            raise TinydigitsError("no run's record says how the model was trained", hint=hint)
        return self.training

    @contextmanager
    def borrow(self, *, train: bool = False, seed: int = 0) -> Iterator[nn.Module]:
        """A copy of the model on the subject's device, in eval or train mode, with random numbers from `seed`.

        Raises TinydigitsError when it is asked for a train mode that there is not.
        """
        if train and "train" in self.lacks:
            raise TinydigitsError(f"model {self.name}", self.lacks["train"])
        with isolated_random_state(seed):
            yield set_mode(self.duplicate(), train)

    def duplicate(self) -> nn.Module:
        """A copy of the model; raises TinydigitsError when Python cannot copy it, or not truly."""
        return duplicate(self._ready).to(self.device)

    @cached_property
    def _ready(self) -> nn.Module:
        """The model, with the sizes of lazy parameters known."""
        return materialised(self.model, self.input_shape)

    @cached_property
    def _seed(self) -> int:
        """Drawn from the weights, so that no model knows beforehand which images it will be asked."""
        return fingerprint(self._ready)

    def images(self, num_images: int, seed: int = 0) -> Tensor:
        """Normalised random images (B, C, H, W) of soft ink blots, the same for the same weights and seed."""
        generator = torch.Generator().manual_seed(self._seed + seed)
        ink = torch.rand(num_images, *self.input_shape, generator=generator)
        if ink.ndim == 4 and min(ink.shape[2:]) >= 3:
            ink = F.avg_pool2d(ink, 3, stride=1, padding=1, count_include_pad=False)
        return self.normalise(((ink - 0.5) * 4).clamp(0, 1))

    def labels(self, num_images: int, seed: int = 0) -> Tensor:
        """Random labels (B,)."""
        generator = torch.Generator().manual_seed(self._seed + seed + 1)
        return torch.randint(self.num_classes, (num_images,), generator=generator).to(self.device)

    def normalise(self, ink: Tensor) -> Tensor:
        """From grey levels of 0 to 1 to what the model takes."""
        return self.model_input.normalise(ink).to(self.device)

    def evaluate(self, source: str, split: str) -> tuple[data.ImageSet, Evaluation]:
        """The set and the model's answers to every image of it, asked once however many checks need them.

        Raises TinydigitsError for a set of other classes than the model's, and where its own set has changed.
        """
        key = (source, split)
        if key not in self.evaluations:
            images = self.load(source, split)
            self._must_have_same_classes(images)
            images = self.relabel(images)
            answers = self.ask(images)
            self._ask_again(images, answers)
            self.evaluations[key] = (images, answers)
        return self.evaluations[key]

    def load(self, source: str, split: str) -> data.ImageSet:
        """A data set; raises TinydigitsError where it is the model's own and has changed since the training."""
        if self.trained_on is not None and source == self.trained_on.source:
            return self.trained_on.load(split, read=self.load_images)
        return self.load_images(source, split)

    def _must_have_same_classes(self, images: data.ImageSet) -> None:
        if images.classes == self.classes or (not self.classes and len(images.classes) == self.num_classes):
            return
        expected = ", ".join(self.classes) or f"{self.num_classes} classes"
        own = f"its own: --data {shlex.quote(self.trained_on.source)}" if self.trained_on else "--data SET"
        raise TinydigitsError(
            f"{source_label(images.name)} {images.split}", "has other classes than the model",
            got=", ".join(images.classes), expected=expected, hint=f"a data set of the same classes, such as {own}",
        )  # fmt: skip

    def _ask_again(self, images: data.ImageSet, answers: Evaluation) -> None:
        """Raise Contradiction when some images, asked once more in another order, get other answers.

        A model that learnt the order of the test set by heart, or that reads the rest of its batch, shows here.
        """
        generator = torch.Generator().manual_seed(self._seed)
        some_N = torch.randperm(len(images), generator=generator)[:_NUM_ASKED_AGAIN].numpy()
        again = self.ask(replace(images, images_NHW=images.images_NHW[some_N], labels_N=images.labels_N[some_N]))
        other_N = again.predicted_N != answers.predicted_N[some_N]
        # Two classes that are equally likely, so neither more than half, may change places by rounding.
        sure_N = np.maximum(again.probability_N, answers.probability_N[some_N]) > 0.5 + 1e-3
        if (other_N & sure_N).any() or other_N.mean() > _MOST_TIES:
            raise Contradiction(
                f"model {self.name}",
                f"{other_N.sum()} of {len(some_N)} images get another answer when asked again in another order",
            )

    def ask(self, images: data.ImageSet) -> Evaluation:
        """The model's answers to every image of a set."""
        with self.borrow() as model:
            return evaluate(
                model, images.images_NHW, images.labels_N, mean=self.mean, std=self.std,
                input_shape=self.input_shape, resize=self.resize, output=self.output, num_classes=self.num_classes,
                device=self.device, shift_pixels=self.shift_pixels,
            )  # fmt: skip


@contextmanager
def isolated_random_state(seed: int) -> Iterator[None]:
    """Random numbers from `seed` within the block; every generator's own state comes back after it."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 (a model may use either)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            with torch.enable_grad():
                yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002
