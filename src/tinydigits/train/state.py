"""All that a training carries from step to step, and how it goes to a checkpoint and comes back."""

from __future__ import annotations

import io
import math
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import torch
from torch import nn

from tinydigits import data, models
from tinydigits.archive import require_honest
from tinydigits.compiler import compiler_version
from tinydigits.data.batches import Batches, seed_for
from tinydigits.errors import TinydigitsError, TrainingDiverged
from tinydigits.evaluate import Evaluation, evaluate, frozen
from tinydigits.kernels import order_of, train_in_c
from tinydigits.machine import (
    describe_arithmetic,
    describe_machine,
    describe_versions,
    find_git_commit,
    peak_memory_bytes,
)
from tinydigits.optim import Average, Schedule, build_optimizer
from tinydigits.recipe import Recipe
from tinydigits.run import Record, Result, Run
from tinydigits.train.curve import Curve
from tinydigits.train.distributed import World, batch_norms
from tinydigits.train.recompute import recompute
from tinydigits.train.samples import samples_bytes
from tinydigits.train.teachers import Teachers

__all__ = ["EpochTotals", "State"]

_STATISTICS_BATCH = 250


@dataclass
class EpochTotals:
    """Sums over the epoch so far; they are divided once, at its end."""

    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0


class State:
    """A training between two steps: `batch` batches of epoch `epoch` (from 1) and `step` steps in all are done."""

    def __init__(self, recipe: Recipe, device: torch.device, images: data.ImageSet | None = None) -> None:
        self.recipe, self.device = recipe, device
        self.world = World(device)
        with self.world.one_first():
            whole = images or data.load(recipe.data.source, "train")
        held_out = recipe.data.validation
        self.train_set: data.ImageSet = whole
        self.validation_set: data.ImageSet | None = None
        if held_out:
            self.train_set, self.validation_set = data.hold_out(whole, held_out)
        torch.manual_seed(recipe.seed)  # for the initial weights, and from there on for dropout
        self.model = models.build(recipe.model.name, recipe.model.options)
        self._check_model()
        self.model.to(device)
        if recipe.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches = Batches(
            self.train_set.images_NHW, self.train_set.labels_N, mean=recipe.data.mean, std=recipe.data.std,
            seed=recipe.seed, steps=recipe.augment, shuffle=recipe.data.shuffle, device=device,
            channels_last=recipe.channels_last, smallest=self._smallest_batch(),
        )  # fmt: skip
        self.teachers = Teachers(recipe, list(whole.classes), device) if recipe.distil else None
        self.optimizer = build_optimizer(self.model, recipe.optimizer)
        epochs = range(1, recipe.epochs + 1)
        batches_per_epoch = [self.batches.num_batches(recipe.data.batch_size_at(epoch)) for epoch in epochs]
        self.schedule = Schedule(recipe, [math.ceil(num / recipe.optimizer.accumulate) for num in batches_per_epoch])
        plain = recipe.statistics == "plain"
        self.average = Average(self.model, recipe.average, plain=plain)  # its copy is of the model as yet unchanged
        recompute(self.model, recipe.recompute, where=f"recipe {recipe.name}: recompute")
        self.layers_by = self._lay_out()
        self.spread_model = self.world.spread(self.model, recipe.batch_norm)
        if not self.world.is_first:  # the initial weights are the same everywhere, the dropout is not
            torch.manual_seed(seed_for(recipe.seed, self.world.rank))
        self.curve = Curve(sum(batches_per_epoch))
        self.epoch, self.batch, self.step = 1, 0, 0
        self.totals = EpochTotals()
        self.history: list[dict[str, Any]] = []
        self.record = self._new_record(whole)
        self._last_evaluation: Evaluation | None = None

    def _lay_out(self) -> dict[str, str]:
        """Train by layers in C where the recipe says so and it can be; gives what compiled them, for the record."""
        order = order_of(self.recipe)
        if order is None or self.device.type != "cpu" or self.world.size > 1:
            return {}
        try:
            train_in_c(self.model, order)
        except TinydigitsError:  # no compiler: torch's layers do the same, slower, and the record names none
            return {}
        return {"compiler": compiler_version()}

    def _smallest_batch(self) -> int:
        """The fewest images of which every process has its share: two each where BatchNorm has no others."""
        world, part = self.world, self.recipe.data
        if world.size == 1:
            return 2
        smallest = world.size * (2 if self.recipe.batch_norm == "local" else 1)
        sizes = [part.batch_size_at(epoch) for epoch in range(1, self.recipe.epochs + 1)]
        sizes += [len(self.train_set), len(self.validation_set or self.train_set)]
        if min(sizes) < smallest:
            raise TinydigitsError(
                f"recipe {self.recipe.name}", f"too few images in a batch or set for {world.size} processes",
                got=min(sizes), expected=f"at least {smallest}", hint="a larger data.batch_size, or fewer processes",
            )  # fmt: skip
        return smallest

    def _check_model(self) -> None:
        if self.recipe.statistics == "plain" and not batch_norms(self.model):
            raise TinydigitsError(
                f"recipe {self.recipe.name}: statistics", got='"plain", for a model without BatchNorm',
                expected='"augmented"',
            )  # fmt: skip
        num_classes = len(self.train_set.classes)
        height, width = self.train_set.images_NHW.shape[1:]
        where = f"model {self.recipe.model.name}"
        with frozen(self.model), torch.inference_mode():
            try:
                output = self.model(torch.zeros(2, 1, height, width))
            except Exception as error:  # a user's forward may fail in any way
                raise TinydigitsError(where, f"fails on input (2, 1, {height}, {width}): {error}") from error
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        if shape != (2, num_classes):
            raise TinydigitsError(
                where, f"input (2, 1, {height}, {width})", got=f"output {shape}", expected=f"(2, {num_classes})"
            )

    def _new_record(self, whole: data.ImageSet) -> Record:
        return Record(
            started_at=datetime.now().astimezone().isoformat(timespec="milliseconds"),
            recipe=self.recipe.model_dump(mode="json", exclude_none=True),
            source=self.train_set.name,
            classes=list(self.train_set.classes),
            num_train=len(self.train_set),
            num_validation=len(self.validation_set) if self.validation_set else 0,
            data_sha256=whole.sha256,
            teachers_sha256=self.teachers.sha256 if self.teachers else {},
            num_parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            num_buffers=sum(buffer.numel() for buffer in self.model.buffers()),
            device=str(self.device),
            threads=torch.get_num_threads(),
            world_size=self.world.size,
            backend=self.world.backend,
            machine=describe_machine() | describe_arithmetic(str(self.device)),
            versions=describe_versions() | self.layers_by,
            git_commit=find_git_commit(),
        )

    def end_step(self) -> None:
        """Count one optimizer step."""
        self.step += 1
        if self.recipe.batch_norm == "local":
            self.world.average_statistics(self.model)
        self.average.after_step(self.step)

    def end_epoch(self) -> None:
        """Close the epoch: evaluate on the validation images if there are any, write the history's row, go on."""
        self.average.after_epoch(self.epoch)
        row: dict[str, Any] = {
            "epoch": self.epoch,
            "lr": self.optimizer.param_groups[0]["lr"],
            "train_loss": self.totals.loss_sum / self.totals.seen,
            "train_accuracy": self.totals.correct / self.totals.seen,
            "validation_loss": None,
            "validation_accuracy": None,
            "images_seen": self.record.images_seen + self.totals.seen,
            "seconds": round(self.totals.seconds, 3),
        }
        if self.validation_set is not None:
            # An SWA mean has no statistics yet between epochs; until its end the trained weights are looked at.
            model = self.model if self.average.needs_statistics else self.average.model
            self._last_evaluation = self._evaluate(model, self.validation_set)
            row["validation_loss"] = self._last_evaluation.loss
            row["validation_accuracy"] = self._last_evaluation.accuracy
            self.schedule.observe(self._last_evaluation.loss)
        self.history.append(row)
        self.record.images_seen = row["images_seen"]
        self.record.epochs, self.record.steps = self.epoch, self.step
        self.epoch, self.batch, self.totals = self.epoch + 1, 0, EpochTotals()

    def _evaluate(self, model: nn.Module, images: data.ImageSet) -> Evaluation:
        started = time.perf_counter()
        own = self.world.share(len(images))
        # Of training images it only says how well they are known: 60,000 with all shifts can take longer than to train.
        shift_pixels = self.recipe.evaluation.shift_pixels if images is self.validation_set else 0
        evaluation = evaluate(
            model, images.images_NHW[own], images.labels_N[own], mean=self.recipe.data.mean, std=self.recipe.data.std,
            num_classes=len(images.classes), device=self.device, shift_pixels=shift_pixels,
        )  # fmt: skip
        evaluation = self.world.join_evaluations(evaluation, images.labels_N)
        self.record.seconds.evaluation += time.perf_counter() - started
        if not math.isfinite(evaluation.loss):
            raise TrainingDiverged(
                f"recipe {self.recipe.name}",
                f"the loss on {images.split} images became {evaluation.loss} after epoch {self.record.epochs}",
                hint="a lower optimizer.lr, or optimizer.clip_norm=1",
            )
        return evaluation

    # Going to a checkpoint and coming back.

    def first_files(self) -> dict[str, str | bytes]:
        """The files that a run has before its first step; with them it can already be resumed."""
        return {"record.json": self.record.model_dump_json(indent=2) + "\n", "checkpoint.pt": self._checkpoint_bytes()}

    def write_checkpoint(self, run: Run) -> None:
        """Write checkpoint, history and record; the checkpoint comes first, the others can be made from it."""
        self.record.peak_memory_bytes = max(self.record.peak_memory_bytes, peak_memory_bytes())
        content = self._checkpoint_bytes()  # every process has a part in it
        if not self.world.is_first:
            return
        run.write("checkpoint.pt", content)
        self._write_tables(run)
        run.write_record(self.record)

    def _write_tables(self, run: Run) -> None:
        run.write_table("history.csv", self.history)
        run.write_table("steps.csv", self.curve.rows)

    def write_status(self, run: Run, status: Literal["interrupted", "diverged"]) -> None:
        """Say in the record how the training ended before its end; the checkpoint stays the last good one."""
        self.record.status = status
        if self.world.is_first:
            run.write_record(self.record)

    def _checkpoint_bytes(self) -> bytes:
        content = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average.state_dict(),
            "random": self.world.gather(  # by rank
                {
                    "cpu": torch.get_rng_state(),
                    "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
                }
            ),
            "position": {"epoch": self.epoch, "batch": self.batch, "step": self.step},
            "totals": asdict(self.totals),
            "history": self.history,
            "curve": self.curve.state_dict(),
            "record": self.record.model_dump(mode="json"),
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    def load_checkpoint(self, run: Run) -> None:
        """Stand where the run's checkpoint was written. Raises TinydigitsError where it is damaged or does not fit."""
        path = run.file("checkpoint.pt")
        require_honest(path, path)
        try:
            content = torch.load(path, map_location=self.device, weights_only=True)
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.schedule.load_state_dict(content["schedule"])
            self.average.load_state_dict(content["average"])
            self.curve.load_state_dict(content["curve"])
            if self.world.rank < len(content["random"]):  # taken up by more processes, the new ones keep their own
                random = content["random"][self.world.rank]
                torch.set_rng_state(random["cpu"].cpu())
                if self.device.type == "cuda" and random["cuda"] is not None:
                    torch.cuda.set_rng_state(random["cuda"].cpu(), self.device)
            self.epoch, self.batch, self.step = (content["position"][key] for key in ("epoch", "batch", "step"))
            self.totals, self.history = EpochTotals(**content["totals"]), content["history"]
            record = Record.model_validate(content["record"])
        except Exception as error:  # torch.load raises whatever the damaged bytes provoke
            raise TinydigitsError(str(path), f"damaged checkpoint: {type(error).__name__}: {error}") from error
        if record.data_sha256 != self.record.data_sha256:
            raise TinydigitsError(
                f"run {run.folder}", "the training images are not those that it began with",
                got=f"SHA-256 {self.record.data_sha256[:12]}…", expected=f"{record.data_sha256[:12]}…",
            )  # fmt: skip
        if record.teachers_sha256 != self.record.teachers_sha256:
            raise TinydigitsError(f"run {run.folder}", "the teachers are not those that it began with")
        now = {"world_size": self.world.size, "backend": self.world.backend}
        self.record = record.model_copy(update={"status": "running", "resumed": record.resumed + 1, **now})

    def write_results(self, run: Run) -> None:
        """Evaluate the weights that are kept, and write them with the record and what the pictures need."""
        images, evaluation = self.validation_set or self.train_set, self._last_evaluation
        plain = self.recipe.statistics == "plain"
        if plain or self.average.needs_statistics:
            batches = self.batches.plain() if plain else self.batches
            whole_set = batches.epoch(self.recipe.epochs + 1, _STATISTICS_BATCH)
            self.average.measure_statistics(images_BCHW for images_BCHW, _ in whole_set)
            self.record.images_for_statistics = len(self.train_set)
            evaluation = None
        kept = self.average.model
        if evaluation is None:
            evaluation = self._evaluate(kept, images)
        self.record.result = Result(
            split="validation" if self.validation_set else "train",
            seen=evaluation.seen,
            correct=evaluation.correct,
            loss=evaluation.loss,
            confusion=evaluation.confusion_KK.tolist(),
            calibration_error=evaluation.calibration_error(images.labels_N),
        )
        if not self.world.is_first:
            return
        card = models.WeightsCard(
            model=self.recipe.model.name, options=self.recipe.model.options, source=self.train_set.name,
            classes=list(self.train_set.classes), input_shape=(1, *images.images_NHW.shape[1:]),
            mean=self.recipe.data.mean, std=self.recipe.data.std, recipe=self.recipe.name,
        )  # fmt: skip
        run.write("weights.safetensors", models.weights_bytes(kept, card))
        run.write("samples.npz", samples_bytes(evaluation, images, self.batches, kept))
        self.record.status = "finished"
        self.record.peak_memory_bytes = max(self.record.peak_memory_bytes, peak_memory_bytes())
        self._write_tables(run)
        run.write_record(self.record)
