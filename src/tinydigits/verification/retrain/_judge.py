"""The judge of a training by a function: hands out its images, and holds it to a budget by means of its own.

The labels stand for other classes than in the data set, in an order that is drawn for each training, so that weights
and answers that are brought along do not fit. What the training begins with is first asked some training images.
Beside the images the processor time is bounded, by what forward and backward passes over all images of the budget take
in this process.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tinydigits.checks import Subject, Training, isolated_random_state, logits_of
from tinydigits.data import ImageSet
from tinydigits.figures import percent
from tinydigits.machine import describe_machine, machine_words
from tinydigits.messages import Message
from tinydigits.trace import ExportedModel, fingerprint
from tinydigits.verification.process import NO_MESSAGE, SandboxedProcess
from tinydigits.verification.retrain.budget import BudgetSpent, TrainingData

__all__ = ["Patience", "TrainingJudge"]

# Optimizer, augmentation and validation take time too; so much of the judge's own passes is enough for honest code.
_TIMES, _SECONDS_MORE = 4, 2.0
_GRACE_SECONDS, _IDLE_SECONDS = 10.0, 120.0
_MOST_PASSES, _NUM_ASKED = 64, 1_000


class Patience:
    """What a training by our own loop is held to: that it goes on. It has its images already."""

    def __init__(self, process: SandboxedProcess) -> None:
        self.process = process
        self._moved = (0.0, time.monotonic())

    def answer(self, fields: Mapping[str, Any], parts: Mapping[str, bytes]) -> Message:
        """Nothing is asked for."""
        raise self.process.ended("trained", NO_MESSAGE)

    def watch(self) -> None:
        """End a training that has used no processor time for two minutes."""
        self.wait_for(self.process.processor_seconds)

    def wait_for(self, spent: float | None) -> None:
        """End it where its processor time has not moved for some time; where no system tells, it is let be."""
        now = time.monotonic()
        if spent is None or spent > self._moved[0]:
            self._moved = (spent or 0.0, now)
        elif now - self._moved[1] > _IDLE_SECONDS:
            raise self.process.ended("trained", f"nothing for {_IDLE_SECONDS:g} s")


class TrainingJudge:
    """What one training by a function is given and held to; see `process.Judge`.

    `subject` has the graph of the model before the training, where it has one.
    """

    def __init__(
        self, process: SandboxedProcess, subject: Subject, images: ImageSet, *, max_images: int, seed: int
    ) -> None:
        self.process, self.subject, self.images, self.max_images = process, subject, images, max_images
        self.place_of_K = secrets.SystemRandom().sample(range(len(images.classes)), len(images.classes))
        self.data = TrainingData.of(self.relabelled(images), max_images=max_images, seed=seed)
        self.begins, self.begins_with = "", 0.0
        """What the training begins with: a number that tells its weights apart, and how many images it has right."""
        self.seconds, self.most_seconds = 0.0, float("inf")
        """Processor time since the first image, and its bound: that of our own passes over the batches handed out, and
        over what is left in batches of 64."""
        self._own_seconds, self._rates = 0.0, dict[int, float]()
        self.is_cut = False
        self._passes: dict[int, Iterator[tuple[Tensor, Tensor]]] = {}
        self._has_begun = False
        self._before: float | None = None
        self._patience, self._cut_at = Patience(process), 0.0

    def relabelled(self, images: ImageSet) -> ImageSet:
        """The same images with the labels of this training; each still has the name of its class."""
        names = [images.classes[self.place_of_K.index(place)] for place in range(len(images.classes))]
        labels_N = np.array(self.place_of_K, dtype=np.uint8)[images.labels_N]
        return replace(images, labels_N=labels_N, classes=tuple(names), sha256=images.sha256)

    def answer(self, fields: Mapping[str, Any], parts: Mapping[str, bytes]) -> Message:
        """The next batch of a pass; no batch where the pass, or the budget, is at its end."""
        number, size, shuffle = (fields.get(name) for name in ("pass", "batch_size", "shuffle"))
        if not isinstance(number, int) or not isinstance(size, int) or size < 1 or not isinstance(shuffle, bool):
            raise self.process.ended("trained", NO_MESSAGE)
        if number not in self._passes:
            if len(self._passes) == _MOST_PASSES:
                raise self.process.ended("trained", f"{_MOST_PASSES} passes over the images are open at once")
            self._passes[number] = self.data.batches(size, shuffle=shuffle)
        try:
            batch = next(self._passes[number])
        except StopIteration:
            del self._passes[number]
            return {}, {}
        except BudgetSpent:
            return {"is_spent": True}, {}
        if not self._has_begun:
            self._has_begun = True
            self._look_at_beginning(parts)
            self._before = self.process.processor_seconds
        if self._before is not None and "train" not in self.subject.lacks:
            num_images = len(batch[1])
            self._own_seconds += num_images * self._rate(num_images)
            left = self._own_seconds + self.data.images_left * self._rate(64)
            self.most_seconds = _TIMES * left + _SECONDS_MORE
        return {}, {"batch": save(dict(zip(("images", "labels"), batch, strict=True)))}

    def watch(self) -> None:
        """Cut a training that takes longer than its images do, and end one that does not end then, or does nothing."""
        self._patience.wait_for(self._time())
        if self.seconds > self.most_seconds and not self.is_cut:
            self.is_cut, self._cut_at = True, time.monotonic()
            self.process.cut()
        if self.is_cut and time.monotonic() - self._cut_at > _GRACE_SECONDS:
            raise self.process.ended("trained", "its time is spent, and it does not end")

    def training(self, told: Mapping[str, Any]) -> Training:
        """What is known of it, with what the process itself counted."""
        self._time()
        counted, given, num_train = told.get("learned_from"), self.data.images_seen, len(self.images)
        learned_from = counted if isinstance(counted, int) else 0
        # The arithmetic of backward passes is counted to a hundredth.
        seen = learned_from if learned_from > 1.01 * given else given
        counted_there = f"backward passes over {learned_from:,} images were counted in its process"
        origin = f"trained anew: {self._enforced}; {counted_there}"
        seconds, peak, threads = (_number(told.get(name)) for name in ("seconds", "peak_memory_bytes", "threads"))
        doubt = ""
        if self.seconds > self.most_seconds:
            doubt = f"its processor time was spent, in which images may have been shown again: {origin}"
        return Training(
            -(-seen // num_train), seen, num_train, int(peak), seconds=seconds, origin=origin, doubt=doubt,
            begins=self.begins, machine=machine_words(describe_machine(), "cpu", int(threads)),
            foreign=self._foreign,
        )  # fmt: skip

    def _time(self) -> float | None:
        spent = self.process.processor_seconds
        self.seconds = 0.0 if spent is None or self._before is None else spent - self._before
        return spent

    @property
    def _foreign(self) -> str:
        """Why the weights are not of this training, empty where nothing speaks against it."""
        num_classes = len(self.images.classes)
        if self.begins_with <= 1 / num_classes + 0.4 * (1 - 1 / num_classes):
            return ""
        return f"it began with weights that tell {percent(self.begins_with)} of the training images apart"

    @property
    def _enforced(self) -> str:
        given = f"{self.data.images_seen:,} of {self.max_images:,} images were handed out"
        if self.most_seconds == float("inf"):
            return f"{given}, and its processor time was not bounded"
        return f"{given}, in {self.seconds:.1f} of {self.most_seconds:.1f} s of processor time"

    def _look_at_beginning(self, parts: Mapping[str, bytes]) -> None:
        """Ask the weights that the training begins with."""
        from scipy.optimize import linear_sum_assignment

        try:
            state = load(parts["state"])
        except (KeyError, SafetensorError, ValueError) as error:
            raise self.process.ended("trained", "no weights to begin with") from error
        if not isinstance(self.subject.model, ExportedModel):
            return
        subject = replace(self.subject, model=self.subject.duplicate())
        held = dict(subject.model.named_parameters()) | dict(subject.model.named_buffers())
        with torch.no_grad():
            for name, tensor in state.items():
                if name in held and held[name].shape == tensor.shape:
                    held[name].copy_(tensor)
        self.begins = str(fingerprint(subject.model))
        some_N = torch.randperm(len(self.images))[:_NUM_ASKED].numpy()
        asked_BCHW = subject.model_input.prepare(torch.from_numpy(self.images.images_NHW[some_N]))
        with subject.borrow() as model, torch.no_grad():
            predicted_N = logits_of(model, asked_BCHW).argmax(1).numpy()
        num_classes = len(self.images.classes)
        # With whatever name it has for each class: those of this training it cannot know yet.
        counts_KK = np.zeros((num_classes, num_classes), dtype=int)
        np.add.at(counts_KK, (self.images.labels_N[some_N], predicted_N % num_classes), 1)
        self.begins_with = counts_KK[linear_sum_assignment(-counts_KK)].sum() / len(some_N)

    def _rate(self, num_images: int) -> float:
        """Processor seconds of an image in forward and backward passes over a batch of about so many."""
        size = 2 ** min(num_images.bit_length() - 1, 10)  # few sizes, whatever is asked for
        if size not in self._rates:
            images_BCHW = self.subject.model_input.prepare(torch.from_numpy(self.images.images_NHW[:size]))
            labels_B = torch.from_numpy(self.images.labels_N[:size]).long()
            taken = []
            with self.subject.borrow(train=True) as model, isolated_random_state(0):
                for _ in range(6):
                    started = time.process_time()
                    F.cross_entropy(logits_of(model, images_BCHW), labels_B).backward()
                    taken.append(time.process_time() - started)
            self._rates[size] = sorted(taken)[2] / len(labels_B)
        return self._rates[size]


def _number(told: object) -> float:
    return float(told) if isinstance(told, int | float) and 0 <= told < 1e15 else 0.0
