"""The loop, readable in one go.

Shapes: B images a batch, C channels, H × W pixels, K classes.
"""

from __future__ import annotations

import contextlib
import math
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinydigits import data, models
from tinydigits.data import ImageSet
from tinydigits.data.batches import seed_for
from tinydigits.data.mix import mix
from tinydigits.errors import Interrupted, TinydigitsError, TrainingDiverged, foreign_code
from tinydigits.evaluate import Evaluation
from tinydigits.machine import freed_memory_kept
from tinydigits.recipe import Recipe, load, to_toml
from tinydigits.run import Run, create
from tinydigits.training.devices import default_threads, limit_threads, pick_device
from tinydigits.training.distributed import is_first_process
from tinydigits.training.reporter import Progress, Reporter
from tinydigits.training.results import validate, write_results
from tinydigits.training.setup import Setup, set_up
from tinydigits.training.state import State, checkpoint_bytes, load_checkpoint, write_checkpoint, write_status
from tinydigits.training.stop_request import StopRequest, stop_requested
from tinydigits.training.teachers import name_teachers

__all__ = ["resume", "train"]

_SECONDS_BETWEEN_CHECKPOINTS = 30.0
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
    located = recipe.data.model_copy(update={"source": data.locate(recipe.data.source)})  # found again from any folder
    recipe = recipe.model_copy(update={"data": located})
    with limit_threads(threads or default_threads(recipe)), _trains(recipe):
        setup, state = set_up(recipe, pick_device(device), images)
        files: dict[str, str | bytes] = {
            "recipe.toml": to_toml(recipe),
            "record.json": state.record.model_dump_json(indent=2) + "\n",
            "checkpoint.pt": checkpoint_bytes(state, setup.world),  # so that it can be resumed from the first step on
        }
        run = create(out, recipe.name, recipe.seed, files) if setup.world.is_first else None
        return _finish(setup, state, setup.world.gather(run)[0], reporter or Reporter(), started)


def resume(
    run: Run,
    *,
    device: str | None = None,
    threads: int | None = None,
    reporter: Reporter | None = None,
    source: str | None = None,
    model: str | None = None,
    epochs: int | None = None,
) -> Run:
    """Take a run up at its checkpoint and finish it: with the same device, threads and code, to the same bits.

    A finished run is given back as it is, unless it is to have more `epochs` in all: its recipe then has these, its
    schedule goes on as that of so many epochs does, and its record says where it was extended. `source` is where its
    data are now, if they have moved; `model` names the code of its model, where that was changed since. Raises
    TinydigitsError where the folder is incomplete, the training images are not those that it began with, or its recipe
    names code that the user has not named.
    """
    started = time.perf_counter()
    record = run.record
    if is_first_process():
        run.discard_drafts()
    is_longer = epochs is not None and epochs > record.recipe["epochs"]
    if epochs is not None and not is_longer:
        raise TinydigitsError(
            f"run {run.folder}", got=f"epochs={epochs}", expected=f"more than its {record.recipe['epochs']}"
        )
    if record.status == "finished" and not is_longer:
        return run
    recipe = load(run.file("recipe.toml"), [f"epochs={epochs}"] if is_longer else [])
    code = models.choose_code(
        recipe.model.name, f"run {run.folder}", named=model, beside=run.folder, recorded=record.code_sha256,
        command=f"tinydigits train --resume {shlex.quote(str(run.folder))}",
    )  # fmt: skip
    with limit_threads(threads or record.threads), _trains(recipe):
        origin = data.Origin(data.locate(source or record.source), record.data_sha256)
        setup, state = set_up(recipe, pick_device(device or record.device), origin=origin, spec=code.spec)
        load_checkpoint(state, setup.world, run)
        if is_longer and setup.world.is_first:
            run.write("recipe.toml", to_toml(recipe))
        if is_longer:
            extended = {"recipe": recipe.model_dump(mode="json", exclude_none=True)}
            extended["extended_at"] = [*record.extended_at, state.epoch - 1]  # type: ignore[assignment]
            state.record = state.record.model_copy(update=extended)
            write_checkpoint(state, setup.world, run)
        return _finish(setup, state, run, reporter or Reporter(), started)


def _trains(recipe: Recipe) -> contextlib.AbstractContextManager[None]:
    return foreign_code(f"model {recipe.model.name}", "when it is trained")


def _finish(setup: Setup, state: State, run: Run, reporter: Reporter, started: float) -> Run:
    """Train the epochs that are left, and write the results."""
    world = setup.world
    if not world.is_first:
        reporter = Reporter()
    reporter.on_start(run, state.record)
    state.record.seconds.start_up += time.perf_counter() - started
    validation = None
    try:
        with world.raising_when_one_dies(f"run {run.folder}", hint=_resume_command(setup, state, run)):
            largest_bytes = None if setup.recipe.keep_memory else _LARGEST_KEPT_BYTES
            with stop_requested() as stop, freed_memory_kept(largest_bytes):
                is_over = _is_over(setup, state)
                while not is_over:
                    _train_epoch(setup, state, run, reporter, stop)
                    validation = _end_epoch(setup, state)
                    write_checkpoint(state, world, run)
                    wants_to_stop = reporter.on_epoch(state.ledger.history[-1])
                    is_over = bool(world.highest(int(wants_to_stop or _is_over(setup, state))))
            write_results(setup, state, run, validation)
    except TrainingDiverged:
        write_status(state, world, run, "diverged")
        raise
    except Interrupted:
        write_status(state, world, run, "interrupted")
        raise
    finally:
        reporter.on_end()
    reporter.on_finish(run, state.record)
    return run


def _is_over(setup: Setup, state: State) -> bool:
    """Whether all epochs are trained, or the recipe's early stopping was reached."""
    stopping = setup.recipe.early_stopping
    losses = [row["validation_loss"] for row in state.ledger.history]
    extended_at = max(state.record.extended_at, default=0)
    return state.epoch > setup.recipe.epochs or (stopping is not None and stopping.is_reached(losses, extended_at))


def _train_epoch(setup: Setup, state: State, run: Run, reporter: Reporter, stop: StopRequest) -> None:
    """The rest of the current epoch, from the batch where the state stands."""
    recipe, world, ledger = setup.recipe, setup.world, state.ledger
    batch_size, accumulate = recipe.data.batch_size_at(state.epoch), recipe.optimizer.accumulate
    num_batches = setup.batches.num_batches(batch_size)
    written_at = ledger.start_clock()
    setup.model.train()
    for images_BCHW, labels_B in setup.batches.epoch(state.epoch, batch_size, start=state.batch):
        lr = state.schedule.apply(state.optimizer, state.epoch, state.batch // accumulate)
        with torch.autocast(world.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss, logits_BK = _forward(setup, state, images_BCHW, labels_B)
        # The backward pass gives the mean over the processes, whose shares of a batch may differ by an image.
        divisor = accumulate * len(labels_B) / (len(logits_BK) * world.size)
        (loss / divisor if divisor != 1 else loss).backward()
        state.batch += 1
        ledger.add(loss, logits_BK, labels_B[world.share(len(labels_B))], size=len(labels_B), lr=lr)
        if ledger.is_due:
            _read_ledger(setup, state, reporter, num_batches)
        if state.batch % accumulate and state.batch < num_batches:
            continue
        _step(setup, state)
        due = 2 if stop.signal_number else int(ledger.clock - written_at > _SECONDS_BETWEEN_CHECKPOINTS)
        if due := world.highest(due):
            _read_ledger(setup, state, reporter, num_batches)
            write_checkpoint(state, world, run)
            written_at = time.perf_counter()
        if due == 2:
            position = f"in epoch {state.epoch} after batch {state.batch} of {num_batches}, checkpoint kept"
            raise Interrupted(
                f"run {run.folder}", position, hint=_resume_command(setup, state, run),
                signal_number=stop.signal_number or signal.SIGINT,
            )  # fmt: skip
    _read_ledger(setup, state, reporter, num_batches)


def _forward(setup: Setup, state: State, images_BCHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
    """The loss and the logits of this process's share of a batch."""
    recipe, others_B, share = setup.recipe, labels_B, 1.0
    if recipe.mix is not None:
        # Drawn from the position in the training, like all randomness of the data: nothing to carry in a checkpoint.
        rng = np.random.default_rng(seed_for(recipe.seed, state.epoch, state.batch, 1))
        if rng.random() < recipe.mix.probability:
            images_BCHW, others_B, share = mix(
                images_BCHW, labels_B, mixup_alpha=recipe.mix.mixup_alpha, cutmix_alpha=recipe.mix.cutmix_alpha, rng=rng
            )
    own = setup.world.share(len(labels_B))
    images_BCHW, labels_B, others_B = images_BCHW[own], labels_B[own], others_B[own]
    smoothing = recipe.loss.label_smoothing_at(state.epoch, recipe.epochs)
    logits_BK = setup.model(images_BCHW)
    logits_BK = logits_BK.to(torch.promote_types(logits_BK.dtype, torch.float32))  # bf16 is too coarse for a loss
    loss = F.cross_entropy(logits_BK, labels_B, label_smoothing=smoothing)
    if share != 1:
        loss = loss * share + F.cross_entropy(logits_BK, others_B, label_smoothing=smoothing) * (1 - share)
    if setup.teachers is not None:
        loss = setup.teachers.blend(loss, logits_BK, images_BCHW)
    return loss, logits_BK


def _step(setup: Setup, state: State) -> None:
    """One step of the optimizer, by the gradients that are there."""
    recipe = setup.recipe
    if recipe.optimizer.clip_norm is not None:
        nn.utils.clip_grad_norm_(setup.model.parameters(), recipe.optimizer.clip_norm)
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1
    if recipe.batch_norm == "local":
        setup.world.average_statistics(state.model)
    state.average.after_step(state.step)


def _end_epoch(setup: Setup, state: State) -> Evaluation | None:
    """Close the epoch: ask the validation images if there are any, write the history's row, go on."""
    state.average.after_epoch(state.epoch)
    validation = validate(setup, state)
    if validation is not None:
        state.schedule.observe(validation.loss)
    row = state.ledger.close_epoch(state.epoch, state.optimizer.param_groups[0]["lr"], validation)
    state.record.images_seen, state.record.epochs, state.record.steps = row["images_seen"], state.epoch, state.step
    state.epoch, state.batch = state.epoch + 1, 0
    return validation


def _read_ledger(setup: Setup, state: State, reporter: Reporter, num_batches: int) -> None:
    """Count and show what was trained since the last time; raises TrainingDiverged for a loss that is not finite."""
    ledger, before = state.ledger, state.ledger.clock
    losses = ledger.read(setup.world)
    if not losses:
        return
    state.record.seconds.training += ledger.clock - before
    for batch, loss in enumerate(losses, start=state.batch - len(losses) + 1):
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"recipe {setup.recipe.name}",
                f"the loss became {loss} in epoch {state.epoch}, batch {batch} of {num_batches}",
                hint="a lower optimizer.lr, or optimizer.clip_norm=1",
            )
    images_per_second = ledger.epoch.seen / max(ledger.epoch_seconds, 1e-9)
    images_left = len(setup.train_set) * (setup.recipe.epochs - state.epoch + 1) - ledger.epoch.seen
    reporter.on_progress(
        Progress(
            epoch=state.epoch, epochs=setup.recipe.epochs, batch=state.batch, num_batches=num_batches,
            loss=ledger.epoch.loss, accuracy=ledger.epoch.accuracy, lr=ledger.lr,
            images_per_second=images_per_second, seconds_left=images_left / images_per_second, step_losses=losses,
        )
    )  # fmt: skip


def _resume_command(setup: Setup, state: State, run: Run) -> str:
    is_changed = state.record.code_sha256 not in (None, models.code_sha256(setup.spec))
    named = f" --model {shlex.quote(setup.spec)}" if is_changed else ""
    return f"{setup.world.launcher} train --resume {run.folder}{named}"
