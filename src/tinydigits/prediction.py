"""From pictures to answers, by onnxruntime: torch is never imported.

Shapes: N images, K classes.
"""

from __future__ import annotations

import base64
import glob
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from tinydigits import pretrained
from tinydigits.bounds import asking
from tinydigits.data.picture import SUFFIXES, files_below, find_digits, read_picture
from tinydigits.errors import TinydigitsError, first_line, printable, unknown_name
from tinydigits.figures import percent
from tinydigits.onnx_graph import open_session
from tinydigits.page import UNSURE_BELOW

__all__ = [
    "DEFAULT",
    "Answer",
    "Classifier",
    "classify_picture",
    "models_at_hand",
    "open_model",
    "pictures_in",
]

DEFAULT = "gap-cnn-tuned"
"""The model that answers where none is named."""


@dataclass(frozen=True, repr=False)
class Answer:
    """What a model says of one digit of a picture.

    >>> answer = Answer("seven.png", ("6", "7"), np.array([0.1, 0.9]), (0, 0, 9, 9), np.zeros((28, 28), np.uint8))
    >>> answer.label, answer.runner_up, answer.is_unsure
    ('7', '6', False)
    >>> answer
    seven.png: 7 (90.0 %), then 6 (10.0 %)

    `box` is left, top, width, height in pixels of the picture; `image_HW` is what the model saw, uint8 (28, 28);
    `unsure_below` is the model's own limit; `looks_like` is how many digits were read as one.
    """

    source: str
    classes: tuple[str, ...]
    probability_K: np.ndarray
    box: tuple[int, int, int, int]
    image_HW: np.ndarray
    unsure_below: float = UNSURE_BELOW
    looks_like: int = 1

    @cached_property
    def _order(self) -> list[int]:
        return np.argsort(-self.probability_K, kind="stable").tolist()

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.classes[self._order[0]]

    @property
    def probability(self) -> float:
        """The probability of `label`, 0 to 1."""
        return float(self.probability_K[self._order[0]])

    def __repr__(self) -> str:
        first, second = percent(self.probability, 1), percent(self.runner_up_probability, 1)
        unsure = ", unsure" if self.is_unsure else ""
        return f"{printable(self.source)}: {self.label} ({first}), then {self.runner_up} ({second}){unsure}"

    def _repr_html_(self) -> str:
        from PIL import Image

        content = io.BytesIO()
        Image.fromarray(self.image_HW).save(content, "png")
        url = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
        image = f'<img style="width:112px;image-rendering:pixelated" src="{url}" alt="what the model saw">'
        return f"<figure>{image}<div>{escape(repr(self))}</div></figure>"

    @property
    def runner_up(self) -> str:
        """The second most probable class."""
        return self.classes[self._order[1]]

    @property
    def runner_up_probability(self) -> float:
        """The probability of `runner_up`."""
        return float(self.probability_K[self._order[1]])

    @property
    def is_unsure(self) -> bool:
        """Whether the probability is too low to be relied on: perhaps no digit."""
        return self.probability < self.unsure_below

    def as_dict(self, *, with_image: bool = False) -> dict[str, Any]:
        """The answer as JSON has it; `with_image` adds what the model saw, 28 rows of 28 grey levels."""
        fields = {
            "source": self.source,
            "class": self.label,
            "probability": round(self.probability, 6),
            "runner_up": self.runner_up,
            "runner_up_probability": round(self.runner_up_probability, 6),
            "unsure": self.is_unsure,
            "box": list(self.box),
            "probabilities": {
                name: round(float(value), 6) for name, value in zip(self.classes, self.probability_K, strict=True)
            },
        }
        return fields | ({"image": self.image_HW.tolist()} if with_image else {})


class Classifier:
    """An exported model, opened for questions on one thread. `name` is its file's where none is given.

    `classes` are its classes; `unsure_below` is the probability that 99 of 100 of its training images' answers reached
    when it was exported.

    Raises TinydigitsError for a file that is no ONNX model, none that `tinydigits export` wrote, or does not answer.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        if not path.is_file():
            raise TinydigitsError(str(path), "no such model file")
        self._session = open_session(path, str(path))
        try:
            card = json.loads(self._session.get_modelmeta().custom_metadata_map["tinydigits"])
            self.source, self.classes = str(card["source"]), tuple(map(str, card["classes"]))
            self.unsure_below = float(card.get("unsure_below") or UNSURE_BELOW)
            shape = list(card["input_shape"])
        except Exception as error:  # any text may stand there
            raise TinydigitsError(str(path), "has no card of tinydigits", hint="tinydigits export RUN onnx") from error
        self.path, self.name = path, name or path.stem
        if shape != [1, 28, 28]:
            raise TinydigitsError(str(path), got=f"images of {shape}", expected="1, 28, 28")
        answer_shape = self._logits(
            np.zeros((1, 28, 28), np.uint8)
        ).shape  # the first question is slower than the others
        if len(self.classes) < 2 or answer_shape != (1, len(self.classes)):
            raise TinydigitsError(
                str(path), got=f"answers {answer_shape} for {len(self.classes)} classes", expected="(1, K)"
            )

    def probabilities(self, images_NHW: np.ndarray) -> np.ndarray:
        """From uint8 images (N, 28, 28), bright ink on 0, to probabilities, float32 (N, K)."""
        logits_NK = self._logits(images_NHW)
        powers_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
        return powers_NK / powers_NK.sum(axis=1, keepdims=True)

    def _logits(self, images_NHW: np.ndarray) -> np.ndarray:
        grey_BCHW = images_NHW[:, None].astype(np.float32) / np.float32(255)
        try:
            with asking(str(self.path)):
                logits_NK: np.ndarray = self._session.run(["logits"], {"images": grey_BCHW})[0]
        except Exception as error:  # onnxruntime's own classes
            raise TinydigitsError(str(self.path), f"does not answer: {first_line(error)}") from error
        return logits_NK


def models_at_hand(out: str | Path = "runs") -> dict[str, Path]:
    """The exported models by name: those that come with the package, the default first, then those of a folder's runs.

    >>> next(iter(models_at_hand("nowhere")))
    'gap-cnn-tuned'
    """
    from tinydigits.run import runs_in

    names = sorted(pretrained.names(), key=lambda name: name != DEFAULT)
    paths = {name: pretrained.find(name).onnx for name in names}
    for run in runs_in(out):
        path = _exported(run.folder)
        if path is not None:
            paths.setdefault(run.name, path)
    return paths


def open_model(spec: str | None = None, out: str | Path = "runs") -> Classifier:
    """Open a model: a name that comes with the package, an .onnx file, or a run with one; None is the default.

    Raises TinydigitsError where there is none of that name.
    """
    if spec is not None and spec.endswith(".onnx") and "latest" not in Path(spec).parts:
        return Classifier(Path(spec))
    name = spec or DEFAULT
    if name in pretrained.names():
        return Classifier(pretrained.find(name).onnx)
    from tinydigits.run import at_latest, is_run_name, open_run

    if name.endswith(".onnx"):
        return Classifier(Path(at_latest(name, out)))
    if not is_run_name(name, out):
        raise unknown_name("--model", name, models_at_hand(out), kind="model", hint="tinydigits models ls")
    run = open_run(name, out)
    path = _exported(run.folder)
    if path is None:
        raise TinydigitsError(f"run {run.folder}", "has no ONNX file", hint=f"tinydigits export {run.folder} onnx")
    return Classifier(path, run.name)


def _exported(folder: Path) -> Path | None:
    """The ONNX file of a run; where there are two, the one that is not quantised."""
    return min(folder.glob("*.onnx"), key=lambda path: (path.stem.endswith("-int8"), path.name), default=None)


def pictures_in(word: str) -> list[str]:
    """The picture files that a file, a folder, a glob or `-` (standard input) stands for.

    A folder stands for the pictures in it and below, by name, without hidden ones; a glob for the pictures and folders
    that it matches. Any other file stands for itself, whatever it is called. Raises TinydigitsError for a word that
    stands for nothing.
    """
    if word == "-" or (os.path.exists(word) and not os.path.isdir(word)):  # noqa: PTH110, PTH112 (no error for any name)
        return [word]
    if os.path.isdir(word):  # noqa: PTH112
        matches, problem = [word], "no picture in this folder"
    else:
        matches = sorted(glob.glob(word, recursive=True)) if word else []  # noqa: PTH207 (absolute patterns too)
        problem = "no picture among what it matches" if matches else "no such file or folder"
    pictures = dict.fromkeys(
        picture for match in matches for picture in _pictures_of(Path(match))
    )  # `**` matches twice
    if not pictures:
        hint = "files by their names, or a folder of " + ", ".join(sorted(SUFFIXES)) if matches else ""
        raise TinydigitsError(word or "''", problem, hint=hint)
    return list(pictures)


def _pictures_of(path: Path) -> Iterable[str]:
    inside = files_below(path) if path.is_dir() else [path]
    for one in sorted(inside):
        if one.suffix.lower() in SUFFIXES:
            yield str(one)


def classify_picture(source: str | bytes, classifier: Classifier, *, many: bool = False) -> Iterator[Answer]:
    """The answers for one picture: a path, `-` for standard input, or a file's bytes. None where there is no ink.

    Without `many` there is at most one. Raises TinydigitsError for what is no picture.
    """
    name = "-" if isinstance(source, bytes) else source
    picture = read_picture(sys.stdin.buffer if source == "-" else source)
    digits = find_digits(picture.pixels_HW4, many=many)
    if digits:
        images_NHW = np.stack([digit.image_HW for digit in digits])
        for digit, probability_K in zip(digits, classifier.probabilities(images_NHW), strict=True):
            box, limit = picture.in_file(digit.box), classifier.unsure_below
            yield Answer(name, classifier.classes, probability_K, box, digit.image_HW, limit, digit.looks_like)
