"""From a recipe, a device and images to a training that can begin: what no step changes, and the state that steps do.

Shapes: N images, H × W pixels, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import torch
from torch import nn

from tinydigits import data, models
from tinydigits.compiler import compiler_version
from tinydigits.data import memory
from tinydigits.data.batches import Batches, seed_for
from tinydigits.errors import TinydigitsError
from tinydigits.evaluate import frozen
from tinydigits.kernels import order_of, train_in_c
from tinydigits.machine import describe_arithmetic, describe_machine, describe_versions, find_git_commit
from tinydigits.optim import Average, Schedule, build_optimizer
from tinydigits.recipe import Recipe
from tinydigits.run import Record
from tinydigits.training.distributed import World, batch_norms
from tinydigits.training.ledger import Ledger
from tinydigits.training.recompute import recompute
from tinydigits.training.state import State
from tinydigits.training.teachers import Teachers

__all__ = ["Setup", "set_up"]


@dataclass(frozen=True)
class Setup:
    """What a training works with and no step changes.

    `spec` is the model as it is named from the current folder. `model` is what a step calls: the state's own model or,
    in several processes, torch's wrapper around it.
    """

    recipe: Recipe
    spec: str
    world: World
    train_set: data.ImageSet
    validation_set: data.ImageSet | None
    batches: Batches
    teachers: Teachers | None
    model: nn.Module


def set_up(
    recipe: Recipe,
    device: torch.device,
    images: data.ImageSet | None = None,
    origin: data.Origin | None = None,
    spec: str | None = None,
) -> tuple[Setup, State]:
    """Load the images, build the model and all that trains it, before the first step.

    `images`, or those of `origin`, are trained on in place of those of the recipe's source; `spec` is the model's name
    where the recipe's is not what it is called from the current folder. Raises TinydigitsError for a model or data that
    do not fit the recipe.
    """
    world, spec = World(device), spec or recipe.model.name
    with world.one_first():
        whole = images or (origin or data.Origin(recipe.data.source)).load("train")
    train_set, validation_set = whole, None
    if whole.name.startswith(memory.PREFIX):
        validation_set = memory.held(whole.name, "validation")
    if recipe.data.validation and validation_set is None:
        train_set, validation_set = data.hold_out(whole, recipe.data.validation)
    torch.manual_seed(recipe.seed)  # for the initial weights, and from there on for dropout
    model = models.build(spec, recipe.model.options)
    _check_model(recipe, model, train_set)
    model.to(device)
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = Batches(
        train_set.images_NHW, train_set.labels_N, mean=recipe.data.mean, std=recipe.data.std, seed=recipe.seed,
        steps=recipe.augment, shuffle=recipe.data.shuffle, device=device, channels_last=recipe.channels_last,
        smallest=_smallest_batch(recipe, world, len(train_set), len(validation_set or train_set)),
    )  # fmt: skip
    teachers = Teachers(recipe, list(whole.classes), device, whole.sha256) if recipe.distil else None
    optimizer = build_optimizer(model, recipe.optimizer)
    num_batches = [batches.num_batches(recipe.data.batch_size_at(epoch)) for epoch in range(1, recipe.epochs + 1)]
    schedule = Schedule(recipe, [math.ceil(number / recipe.optimizer.accumulate) for number in num_batches])
    # The average's copy is of the model before anything below replaces its layers' methods.
    average = Average(model, recipe.average, plain=recipe.statistics == "plain")
    recompute(model, recipe.recompute, where=f"recipe {recipe.name}: recompute")
    compiler = _train_in_c(recipe, world, model)
    setup = Setup(
        recipe, spec, world, train_set, validation_set, batches, teachers, world.spread(model, recipe.batch_norm)
    )  # fmt: skip
    if not world.is_first:  # the initial weights are the same everywhere, the dropout is not
        torch.manual_seed(seed_for(recipe.seed, world.rank))
    record = _new_record(setup, whole, model, compiler)
    return setup, State(model, optimizer, schedule, average, Ledger(sum(num_batches)), record)


def _train_in_c(recipe: Recipe, world: World, model: nn.Module) -> dict[str, str]:
    """Train by layers in C where the recipe says so and it can be; gives what compiled them, for the record."""
    order = order_of(recipe)
    if order is None or world.device.type != "cpu" or world.size > 1:
        return {}
    try:
        train_in_c(model, order)
    except TinydigitsError:  # nothing compiles: torch's layers do the same, slower, and the record names none
        return {}
    return {"compiler": compiler_version()}


def _smallest_batch(recipe: Recipe, world: World, *num_images: int) -> int:
    """The fewest images of which every process has its share: two each where BatchNorm has no others."""
    if world.size == 1:
        return 2
    smallest = world.size * (2 if recipe.batch_norm == "local" else 1)
    sizes = [recipe.data.batch_size_at(epoch) for epoch in range(1, recipe.epochs + 1)]
    if (least := min(*sizes, *num_images)) < smallest:
        raise TinydigitsError(
            f"recipe {recipe.name}", f"too few images in a batch or set for {world.size} processes", got=least,
            expected=f"at least {smallest}", hint="a larger data.batch_size, or fewer processes",
        )  # fmt: skip
    return smallest


def _check_model(recipe: Recipe, model: nn.Module, images: data.ImageSet) -> None:
    """Ask the model once, so that one that does not fit the images is refused before a run's folder is made."""
    if recipe.statistics == "plain" and not batch_norms(model):
        raise TinydigitsError(
            f"recipe {recipe.name}: statistics", got='"plain", for a model without BatchNorm', expected='"augmented"'
        )
    num_classes = len(images.classes)
    height, width = images.images_NHW.shape[1:]
    where = f"model {recipe.model.name}"
    with frozen(model), torch.inference_mode():
        try:
            output = model(torch.zeros(2, 1, height, width))
        except Exception as error:  # a user's forward may fail in any way
            raise TinydigitsError(where, f"fails on input (2, 1, {height}, {width}): {error}") from error
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if shape != (2, num_classes):
        raise TinydigitsError(
            where, f"input (2, 1, {height}, {width})", got=f"output {shape}", expected=f"(2, {num_classes})"
        )


def _new_record(setup: Setup, whole: data.ImageSet, model: nn.Module, compiler: dict[str, str]) -> Record:
    recipe, world = setup.recipe, setup.world
    return Record(
        started_at=datetime.now().astimezone().isoformat(timespec="milliseconds"),
        recipe=recipe.model_dump(mode="json", exclude_none=True),
        source=setup.train_set.name,
        classes=list(setup.train_set.classes),
        num_train=len(setup.train_set),
        num_validation=len(setup.validation_set) if setup.validation_set else 0,
        data_sha256=whole.sha256,
        teachers_sha256=setup.teachers.sha256 if setup.teachers else {},
        code_sha256=models.code_sha256(setup.spec),
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        num_buffers=sum(buffer.numel() for buffer in model.buffers()),
        device=str(world.device),
        threads=torch.get_num_threads(),
        world_size=world.size,
        backend=world.backend,
        machine=describe_machine() | describe_arithmetic(str(world.device)),
        versions=describe_versions() | compiler,
        git_commit=find_git_commit(),
    )
