"""The loop, readable in one go.

Shapes: B images a batch, C channels, H × W pixels, K classes.
"""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits import models
from tinydigits.data import ImageSet
from tinydigits.data.batches import seed_for
from tinydigits.data.mix import mix
from tinydigits.errors import Interrupted, TinydigitsError, TrainingDiverged
from tinydigits.machine import keep_freed_memory
from tinydigits.recipe import Recipe, load, to_toml
from tinydigits.run import Run, create
from tinydigits.train.distributed import is_first_process, local_device
from tinydigits.train.reporter import Progress, Reporter
from tinydigits.train.state import EpochTotals, State
from tinydigits.train.teachers import name_teachers

__all__ = ["limit_threads", "pick_device", "resume", "train"]

# Losses are read from the device this often: each reading waits for the device, and a NaN is still found by its step.
_BATCHES_PER_READING = 32
_SECONDS_BETWEEN_CHECKPOINTS = 30.0
_SMALL_BATCH = 64
_LARGEST_KEPT_BYTES = 500_000


def train(
    recipe: Recipe,
    *,
    out: str | Path = "runs",
    device: str = "auto",
    threads: int | None = None,
    reporter: Reporter | None = None,
    images: ImageSet | None = None,
) -> Run:
    """Train a recipe from scratch and write a run under `out`.

    >>> import tempfile, tinydigits.recipe
    >>> recipe = tinydigits.recipe.load("two-conv", ["data.source=digits", "data.batch_size=100"])
    >>> with tempfile.TemporaryDirectory() as out:
    ...     run = train(recipe, out=out)
    ...     run.record.status, run.record.images_seen
    ('finished', 1201)

    `device` is `auto` (CUDA, then MPS, then CPU), or torch's name of one. `threads` bounds torch's threads on the CPU;
    by default it is one where batches are small, else as many as torch takes. `images` are trained on in place of those
    that the recipe's source is read for.
    The official test images are not read: `tinydigits verify` does that. Raises TinydigitsError for a recipe, model or
    data that do not fit, TrainingDiverged when the loss becomes NaN or infinite, and Interrupted after Ctrl-C; what was
    reached is in the run's checkpoint then.
    """
    started = time.perf_counter()
    recipe = name_teachers(recipe)
    with limit_threads(threads or _default_threads(recipe)):
        state = State(recipe, pick_device(device), images)
        files = {"recipe.toml": to_toml(recipe), **state.first_files()}
        run = create(out, recipe.name, recipe.seed, files) if state.world.is_first else None
        return _finish(state, state.world.gather(run)[0], reporter or Reporter(), started)


def resume(run: Run, *, device: str | None = None, threads: int | None = None, reporter: Reporter | None = None) -> Run:
    """Take a run up at its checkpoint and finish it: with the same device and threads, to the same bits.

    A finished run is given back as it is. Raises TinydigitsError where the folder is incomplete, or its recipe names
    code that the user has not named.
    """
    started = time.perf_counter()
    record = run.record
    if is_first_process():
        run.discard_drafts()
    if record.status == "finished":
        return run
    recipe = load(run.file("recipe.toml"))
    models.require_allowed(recipe.model.name, f"run {run.folder}")
    with limit_threads(threads or record.threads):
        state = State(recipe, pick_device(device or record.device))
        state.load_checkpoint(run)
        return _finish(state, run, reporter or Reporter(), started)


def _finish(state: State, run: Run, reporter: Reporter, started: float) -> Run:
    if not state.world.is_first:
        reporter = Reporter()
    keep_freed_memory(None if state.recipe.keep_memory else _LARGEST_KEPT_BYTES)
    reporter.on_start(run, state.record)
    state.record.seconds.start_up += time.perf_counter() - started
    try:
        with state.world.losses_told(f"run {run.folder}", hint=_resume_command(state, run)):
            with _stop_request() as stop:
                while state.epoch <= state.recipe.epochs:
                    _train_epoch(state, run, reporter, stop)
                    state.end_epoch()
                    state.write_checkpoint(run)
                    reporter.on_epoch(state.history[-1])
            state.write_results(run)
    except TrainingDiverged:
        state.write_status(run, "diverged")
        raise
    except Interrupted:
        state.write_status(run, "interrupted")
        raise
    finally:
        reporter.on_end()
    reporter.on_finish(run, state.record)
    return run


def _train_epoch(state: State, run: Run, reporter: Reporter, stop: threading.Event) -> None:
    """The rest of the current epoch, from the batch where the state stands."""
    recipe, epoch, model, optimizer = state.recipe, state.epoch, state.spread_model, state.optimizer
    batch_size, accumulate = recipe.data.batch_size_at(epoch), recipe.optimizer.accumulate
    num_batches = state.batches.num_batches(batch_size)
    smoothing = recipe.loss.label_smoothing_at(epoch, recipe.epochs)
    reading = _Reading(state, reporter, num_batches)
    model.train()
    for images_BCHW, labels_B in state.batches.epoch(epoch, batch_size, start=state.batch):
        lr = state.schedule.apply(optimizer, epoch, state.batch // accumulate)
        with torch.autocast(state.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss, logits_BK = _loss(state, model, images_BCHW, labels_B, smoothing)
        # The backward pass gives the mean over the processes, whose shares of a batch may differ by an image.
        divisor = accumulate * len(labels_B) / (len(logits_BK) * state.world.size)
        (loss / divisor if divisor != 1 else loss).backward()
        state.batch += 1
        reading.add(loss, logits_BK, labels_B, lr)
        if state.batch % accumulate and state.batch < num_batches:
            continue
        if recipe.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.optimizer.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        state.end_step()
        due = 2 if stop.is_set() else int(reading.seconds_since_checkpoint > _SECONDS_BETWEEN_CHECKPOINTS)
        if due := state.world.highest(due):
            reading.take()
            state.write_checkpoint(run)
            reading.last_checkpoint = time.perf_counter()
            if due == 2:
                raise Interrupted(
                    f"run {run.folder}",
                    f"in epoch {epoch} after batch {state.batch} of {num_batches}, checkpoint kept",
                    hint=_resume_command(state, run),
                )
    reading.take()


def _loss(
    state: State, model: nn.Module, images_BCHW: Tensor, labels_B: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    """The loss and the logits of this process's share of a batch."""
    part, others_B, share = state.recipe.mix, labels_B, 1.0
    if part is not None:
        # Drawn from the position in the training, like all randomness of the data: nothing to carry in a checkpoint.
        rng = np.random.default_rng(seed_for(state.recipe.seed, state.epoch, state.batch, 1))
        if rng.random() < part.probability:
            images_BCHW, others_B, share = mix(
                images_BCHW, labels_B, mixup_alpha=part.mixup_alpha, cutmix_alpha=part.cutmix_alpha, rng=rng
            )
    own = state.world.share(len(labels_B))
    images_BCHW, labels_B, others_B = images_BCHW[own], labels_B[own], others_B[own]
    logits_BK = model(images_BCHW)
    logits_BK = logits_BK.to(torch.promote_types(logits_BK.dtype, torch.float32))  # bf16 is too coarse for a loss
    loss = F.cross_entropy(logits_BK, labels_B, label_smoothing=smoothing)
    if share != 1:
        loss = loss * share + F.cross_entropy(logits_BK, others_B, label_smoothing=smoothing) * (1 - share)
    if state.teachers is not None:
        loss = state.teachers.blend(loss, logits_BK, images_BCHW)
    return loss, logits_BK


class _Reading:
    """Adds up the running epoch's losses and correct answers, and finds the step whose loss is not finite."""

    def __init__(self, state: State, reporter: Reporter, num_batches: int) -> None:
        self.state, self.reporter, self.num_batches = state, reporter, num_batches
        self.losses: list[Tensor] = []
        self.correct: list[Tensor] = []
        self.sizes: list[int] = []
        self.shares: list[float] = []
        self.lrs: list[float] = []
        self.clock = self.last_checkpoint = time.perf_counter()

    @property
    def seconds_since_checkpoint(self) -> float:
        return self.clock - self.last_checkpoint

    def add(self, loss: Tensor, logits_BK: Tensor, labels_B: Tensor, lr: float) -> None:
        self.losses.append(loss.detach())
        own_labels_B = labels_B[self.state.world.share(len(labels_B))]
        self.correct.append((logits_BK.detach().argmax(dim=1) == own_labels_B).sum())
        self.shares.append(len(own_labels_B) / len(labels_B))
        self.sizes.append(len(labels_B))
        self.lrs.append(lr)
        if len(self.losses) >= _BATCHES_PER_READING:
            self.take()

    def take(self) -> None:
        """Read what was added since the last time; raises TrainingDiverged for a loss that is not finite."""
        if not self.losses:
            return
        state, totals = self.state, self.state.totals
        losses = state.world.sum(torch.stack(self.losses), self.shares).tolist()
        first_batch = state.batch - len(losses) + 1
        for batch, loss in enumerate(losses, start=first_batch):
            if not math.isfinite(loss):
                raise TrainingDiverged(
                    f"recipe {state.recipe.name}",
                    f"the loss became {loss} in epoch {state.epoch}, batch {batch} of {self.num_batches}",
                    hint="a lower optimizer.lr, or optimizer.clip_norm=1",
                )
        totals.loss_sum += sum(loss * size for loss, size in zip(losses, self.sizes, strict=True))
        correct = state.world.sum(torch.stack(self.correct)).tolist()
        totals.correct += sum(correct)
        for figures in zip(losses, correct, self.sizes, self.lrs, strict=True):
            state.curve.add(*figures)
        totals.seen += sum(self.sizes)
        now = time.perf_counter()
        state.record.seconds.training += now - self.clock
        totals.seconds += now - self.clock
        self.clock = now
        self.reporter.on_progress(self._progress(totals, losses))
        self.losses, self.correct, self.sizes, self.shares, self.lrs = [], [], [], [], []

    def _progress(self, totals: EpochTotals, losses: list[float]) -> Progress:
        state = self.state
        speed = totals.seen / max(totals.seconds, 1e-9)
        left = len(state.batches.images_NHW) * (state.recipe.epochs - state.epoch + 1) - totals.seen
        return Progress(
            state.epoch, state.recipe.epochs, state.batch, self.num_batches,
            totals.loss_sum / totals.seen, totals.correct / totals.seen, self.lrs[-1], speed, left / speed, losses,
        )  # fmt: skip


def pick_device(name: str) -> torch.device:
    """The device of a name: `auto` is CUDA, then MPS, then the CPU; raises TinydigitsError for one that is not here.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = local_device(torch.device(name))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise TinydigitsError(
            "device", got=repr(name), expected="auto, cpu, or a CUDA or MPS device of this machine"
        ) from error
    return device


def _resume_command(state: State, run: Run) -> str:
    return f"{state.world.launcher} train --resume {run.folder}"


@contextlib.contextmanager
def _stop_request() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets; a second one stops at once, as Python does by itself."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # signals reach the main thread alone
        return

    def request(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[number])

    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _default_threads(recipe: Recipe) -> int:
    """One thread for small batches, else torch's own number.

    With few images a step, a second thread waits more than it works; and where another process wants the same cores,
    the threads wait for each other at every operation: two-conv's epoch took over 15 minutes in place of 6 seconds.
    """
    sizes = recipe.data.batch_size
    largest = sizes if isinstance(sizes, int) else max(sizes.values())
    return 1 if largest < _SMALL_BATCH else torch.get_num_threads()


@contextlib.contextmanager
def limit_threads(threads: int | None) -> Iterator[None]:
    """Let torch use so many threads for the length of a block; None leaves its number.

    >>> with limit_threads(1): torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
