"""What a training ends with: answers to its validation images after each epoch, and the weights that are kept."""

from __future__ import annotations

import math
import time

from torch import nn

from tinydigits import data, models
from tinydigits.errors import TrainingDiverged
from tinydigits.evaluate import Evaluation, evaluate
from tinydigits.machine import peak_memory_bytes
from tinydigits.run import Result, Run
from tinydigits.text import source_alias
from tinydigits.training.samples import samples_bytes
from tinydigits.training.setup import Setup
from tinydigits.training.state import State, write_tables

__all__ = ["validate", "write_results"]

_STATISTICS_BATCH = 250


def validate(setup: Setup, state: State) -> Evaluation | None:
    """The answers to the validation images after an epoch, None where there are none."""
    if setup.validation_set is None:
        return None
    # An SWA mean has no statistics yet between epochs; until its end the trained weights are looked at.
    model = state.model if state.average.needs_statistics else state.average.model
    return _evaluate(setup, state, model, setup.validation_set)


def write_results(setup: Setup, state: State, run: Run, validation: Evaluation | None) -> None:
    """Evaluate the weights that are kept, and write them with the record and what the pictures need.

    `validation` are the answers after the last epoch, where they are at hand.
    """
    recipe, record = setup.recipe, state.record
    images, evaluation = setup.validation_set or setup.train_set, validation
    plain = recipe.statistics == "plain"
    if plain or state.average.needs_statistics:
        batches = setup.batches.plain() if plain else setup.batches
        whole_set = batches.epoch(recipe.epochs + 1, _STATISTICS_BATCH)
        state.average.measure_statistics(images_BCHW for images_BCHW, _ in whole_set)
        record.images_for_statistics = len(setup.train_set)
        evaluation = None
    averaged = state.average.model
    if evaluation is None:
        evaluation = _evaluate(setup, state, averaged, images)
    record.result = Result(
        split="validation" if setup.validation_set else "train",
        seen=evaluation.seen,
        correct=evaluation.correct,
        loss=evaluation.loss,
        confusion=evaluation.confusion_KK.tolist(),
        calibration_error=evaluation.calibration_error(images.labels_N),
    )
    if not setup.world.is_first:
        return
    card = models.WeightsCard(
        model=recipe.model.name, options=recipe.model.options, source=source_alias(setup.train_set.name),
        classes=list(setup.train_set.classes), input_shape=(1, *images.images_NHW.shape[1:]),
        mean=recipe.data.mean, std=recipe.data.std, recipe=recipe.name,
        data_sha256=record.data_sha256,
    )  # fmt: skip
    run.write("weights.safetensors", models.weights_bytes(averaged, card))
    run.write("samples.npz", samples_bytes(evaluation, images, setup.batches, averaged))
    record.status = "finished"
    record.peak_memory_bytes = max(record.peak_memory_bytes, peak_memory_bytes())
    write_tables(state.ledger, run)
    run.write_record(record)


def _evaluate(setup: Setup, state: State, model: nn.Module, images: data.ImageSet) -> Evaluation:
    started = time.perf_counter()
    recipe, world = setup.recipe, setup.world
    own = world.share(len(images))
    # Of training images it only says how well they are known: 60,000 with all shifts can take longer than to train.
    shift_pixels = recipe.evaluation.shift_pixels if images is setup.validation_set else 0
    evaluation = evaluate(
        model, images.images_NHW[own], images.labels_N[own], mean=recipe.data.mean, std=recipe.data.std,
        num_classes=len(images.classes), device=world.device, shift_pixels=shift_pixels,
    )  # fmt: skip
    evaluation = world.join_evaluations(evaluation, images.labels_N)
    state.record.seconds.evaluation += time.perf_counter() - started
    if not math.isfinite(evaluation.loss):
        raise TrainingDiverged(
            f"recipe {recipe.name}",
            f"the loss on {images.split} images became {evaluation.loss} after epoch {state.record.epochs}",
            hint="a lower optimizer.lr, or optimizer.clip_norm=1",
        )
    return evaluation
