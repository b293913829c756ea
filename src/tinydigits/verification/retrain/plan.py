"""What is trained anew, with what budget; and the processes that do it."""

from __future__ import annotations

import io
import re
import shlex
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.numpy
from safetensors import SafetensorError
from safetensors.torch import load

from tinydigits import contract, data, models, pretrained, recipe
from tinydigits.checks import Check, Limits, Subject
from tinydigits.errors import TinydigitsError
from tinydigits.recipe import Recipe
from tinydigits.run import Run, create, open_run
from tinydigits.training import pick_device
from tinydigits.verdict import JudgedTarget
from tinydigits.verification import targets
from tinydigits.verification.process import SandboxedProcess, in_full
from tinydigits.verification.request import InputFacts, Request, Retraining
from tinydigits.verification.retrain._judge import Patience, TrainingJudge
from tinydigits.verification.targets import Target
from tinydigits.verification.targets._target import NotYet, built
from tinydigits.verification.targets.run import contract_as_seen
from tinydigits.verification.worker import Worker

__all__ = ["Budget", "contract_of", "retrain"]

_ORIGIN_OF_LOOP = "counted by the training loop while it was trained anew"
_INPUT = InputFacts(input_shape=(1, 28, 28), mean=0.1307, std=0.3081)
"""That of `TrainingData`."""
_ENDLESS = 10**7
"""Seconds of processor time for a training, whose judge ends it sooner."""
# Numbers and long texts in the source of a training: an architecture takes dozens, weights take more.
_MOST_LITERALS, _LONG = 1_000, 300


@dataclass(frozen=True)
class Budget:
    """What a contract allows a training: whole epochs, images in all (None where it says nothing), and asks: seeds."""

    epochs: int | None = None
    images: int | None = None
    seeds: int = 1

    @classmethod
    def of(cls, checks: Sequence[tuple[Check, Limits]]) -> Budget:
        """The budget of a contract's checks `training.epochs`, `training.images_seen` and `accuracy`."""

        def largest(name: str) -> int | None:
            limits: Any = next((limits for check, limits in checks if check.name == name), None)
            bounds = [bound for bound in (limits.max, limits.equals) if bound is not None] if limits else []
            return min(bounds, default=None)

        seeds = next((limits.seeds for check, limits in checks if check.name == "accuracy"), 1)  # type: ignore[attr-defined]
        return cls(largest("training.epochs"), largest("training.images_seen"), seeds)

    def max_images(self, num_train: int) -> int | None:
        """How many images in all, of a set of so many."""
        bounds = [self.images, None if self.epochs is None else self.epochs * num_train]
        return min((bound for bound in bounds if bound is not None), default=None)


def retrain(
    request: Request, checks: Sequence[tuple[Check, Limits]], on_training: Callable[[str], None] = lambda what: None
) -> Target:
    """Train a newly built model under the budget of a contract's checks, each seed in a process of its own.

    The first becomes the target, the others its siblings. By a recipe it becomes a run in `request.runs`, with at most
    the budget's epochs. By a function it leaves nothing behind. Raises TinydigitsError where it is not said how to
    train, or with what budget, and when a training fails.
    """
    how, source = request.retraining, request.data
    assert how is not None
    trained, budget = [], Budget.of(checks)
    plan = _by_function if how.function else _by_recipe
    if source is None and how.function:  # a function names no data: it gets those that the contract asks about
        source = next((getattr(limits, "source", None) for check, limits in checks if check.name == "accuracy"), None)
    start = plan(request, how, budget, source)
    for number in range(how.seeds or budget.seeds):
        on_training(f"training anew, seed {start.first_seed + number}")
        trained.append(start.train(number))
    first, *others = trained
    subject = replace(first.subject, siblings=lambda: [other.with_input().subject for other in others])
    facts = first.facts.model_copy(update={"retrained": True, "seeds": len(trained)})
    return replace(first, subject=subject, facts=facts)


def contract_of(request: Request) -> str | None:
    """The contract that a training's recipe names, or that has the model's name."""
    if request.retraining is not None and request.retraining.function is None:
        return _recipe_of(request, request.retraining).contract
    return request.name if request.name in contract.names() else None


@dataclass(frozen=True)
class _Plan:
    first_seed: int
    train: Callable[[int], Target]


def _by_recipe(request: Request, how: Retraining, budget: Budget, source: str | None) -> _Plan:
    followed = _recipe_of(request, how)
    if source is not None:
        followed = followed.model_copy(update={"data": followed.data.model_copy(update={"source": source})})
    run, origin = _run_of(request, how), data.Origin(followed.data.source)
    if source is None and run is not None:
        origin = data.Origin(run.record.source, run.record.data_sha256)
    images = origin.load("train")
    num_train = len(images) - followed.data.validation
    max_images = budget.max_images(num_train)
    epochs = followed.epochs if max_images is None else min(followed.epochs, max_images // num_train)
    if epochs < 1:
        raise TinydigitsError("--retrain", got=f"a budget of {max_images:,} images", expected=f"at least {num_train:,}")
    followed = recipe.change(followed, {"epochs": epochs})

    def train(number: int) -> Target:
        seeded = followed.model_copy(update={"seed": followed.seed + number})
        arrays = {"images": images.images_NHW, "labels": images.labels_N}
        parts = {"recipe": recipe.to_toml(seeded).encode(), "images": safetensors.numpy.save(arrays)}
        process = SandboxedProcess(
            f"recipe {seeded.name}", [in_full(seeded.model.name)],
            threads=request.threads, seconds=_ENDLESS, readable=_teachers(seeded),
        )  # fmt: skip
        told: dict[str, Any] = {"set": {name: getattr(images, name) for name in ("name", "split", "classes", "sha256")}}
        told |= {"folder": str(Path.cwd()), "device": request.device}
        _, files = process.ask("train_by_recipe", "trained", parts, judge=Patience(process), **told)
        plain = {name: content for name, content in files.items() if re.fullmatch(r"[a-z_-]+\.[a-z]+", name)}
        made = create(request.runs, seeded.name, seeded.seed, plain)
        target = targets.find(Request(target=str(made.folder), runs=request.runs, device=request.device))
        assert target.subject.training is not None  # a run has a record
        training = replace(target.subject.training, origin=_ORIGIN_OF_LOOP)
        return replace(target, subject=replace(target.subject, training=training))

    return _Plan(followed.seed, train)


def _run_of(request: Request, how: Retraining) -> Run | None:
    """The run that is trained anew by its own recipe, if it is one."""
    if how.recipe is not None or not (request.target is None or request.is_folder):
        return None
    return open_run(request.target, request.runs)


def _recipe_of(request: Request, how: Retraining) -> Recipe:
    """The recipe that was named, else the run's own, else the one of the model's name; with the target as its model."""
    run = _run_of(request, how)
    if run is not None:
        own = recipe.load(run.file("recipe.toml"))
        code = models.choose_code(
            own.model.name, f"run {run.folder}", named=request.model, beside=run.folder,
            recorded=run.record.code_sha256,
            command=f"tinydigits verify {shlex.quote(str(run.folder))} --retrain",
        )  # fmt: skip
        model = own.model.model_copy(update={"name": code.spec})
        return own.model_copy(update={"model": model, "contract": contract_as_seen(own.contract, run)})
    if request.model is not None:
        raise TinydigitsError("--model", "goes with a run: it is the code that its recipe names")
    named = how.recipe or request.name or recipe.DEFAULT
    if how.recipe is None and named not in recipe.names():
        raise TinydigitsError(
            f"--retrain {request.name}", "it is not said how to train it",
            hint="--recipe RECIPE, or --train file.py:function",
        )  # fmt: skip
    followed = recipe.load(named)
    models.allow(followed.model.name)
    if not request.name or request.is_folder or request.name == followed.model.name:
        return followed
    models.allow(request.name)
    return followed.model_copy(
        update={"model": followed.model.model_copy(update={"name": request.name, "options": dict(request.options)})}
    )


def _by_function(request: Request, how: Retraining, budget: Budget, source: str | None) -> _Plan:
    if not request.name or request.is_folder or how.recipe:
        raise TinydigitsError(
            "--train", "needs a model to train, and takes no recipe", hint="verify file.py:Class --train …"
        )
    spec = request.name
    models.allow(spec)
    models.allow(str(how.function))
    images = data.load(source or "mnist", "train")
    max_images = budget.max_images(len(images))
    if max_images is None:
        raise TinydigitsError(
            "--train", "the contract has no budget", expected="training.epochs or training.images_seen"
        )

    how_full, num_literals = in_full(str(how.function)), _num_literals(spec, str(how.function))

    def train(number: int) -> Target:
        worker = Worker(spec, request.options, threads=request.threads, seed=number, code=[how_full], seconds=_ENDLESS)
        classes = images.classes
        before = worker.judged(Subject(NotYet(), name=spec, num_classes=len(classes)))
        judge = TrainingJudge(worker.process, before, images, max_images=max_images, seed=number)
        size = {"num_images": len(images), "num_classes": len(classes), "max_images": max_images}
        told, parts = worker.ask("train", "trained", judge=judge, function=how_full, seed=number, data=size)
        try:
            state = load(parts["state"])
        except (KeyError, SafetensorError, ValueError) as error:
            raise worker.process.ended("trained", "no weights") from error
        built_model, its_worker = built(spec, request.options, state, f"training {how.function}", request)
        training = judge.training(told)
        if num_literals > _MOST_LITERALS and not training.doubt:
            training = replace(training, doubt=f"its source holds {num_literals:,} numbers, which may be weights")
        subject = Subject(
            name=spec, num_classes=len(classes), **built_model,
            device=str(pick_device(request.device)), trained=True, training=training, classes=classes,
            relabel=judge.relabelled, trained_on=data.Origin(images.name, images.sha256),
        )  # fmt: skip
        facts = JudgedTarget(
            kind="model", name=spec, model=spec, options=dict(request.options), trained_by=how.function,
            trained_on=images.name, seed=number, budget_spent=judge.is_cut or told.get("spent") is True,
        )  # fmt: skip
        return Target(subject, facts, _INPUT, worker=its_worker)

    return _Plan(0, train)


def _teachers(followed: Recipe) -> list[str]:
    """The folders of the runs that a recipe learns from."""
    names = followed.distil.teachers if followed.distil else ()
    return [str((open_run(name) if "/" in name else pretrained.find(name)).folder.absolute()) for name in names]


def _num_literals(*specs: str) -> int:
    """How many numbers the code of these names holds; what is long, and what is no source, counts by its bytes."""
    count = 0
    for path in {path for spec in specs for path in models.source_files(spec)}:
        content = path.read_bytes()
        try:
            tokens = list(tokenize.tokenize(io.BytesIO(content).readline))
        except (SyntaxError, tokenize.TokenError):  # compiled, or nothing that Python reads
            count += len(content) // 4
            continue
        for token in tokens:
            if token.type == tokenize.NUMBER:
                count += 1
            elif token.type in (tokenize.STRING, tokenize.COMMENT) and len(token.string) > _LONG:
                count += len(token.string) // 4
    return count
