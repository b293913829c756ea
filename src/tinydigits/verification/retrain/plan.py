"""What is trained anew, with what budget; and the processes that do it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tinydigits import contract, data, machine, models, recipe
from tinydigits.checks import Check, Limits, Subject, Training
from tinydigits.data.download import cache_folder
from tinydigits.errors import TinydigitsError
from tinydigits.recipe import Recipe
from tinydigits.run import Run, open_run
from tinydigits.training import pick_device
from tinydigits.verdict import JudgedTarget
from tinydigits.verification import targets
from tinydigits.verification.request import Request, Retraining
from tinydigits.verification.targets import Target
from tinydigits.verification.targets._target import built, of_card
from tinydigits.verification.targets.run import contract_as_seen

__all__ = ["Budget", "contract_of", "find_function", "retrain"]

_REFUSED = "known files of test images, the network and other programs were refused to Python code"
_ORIGIN_OF_LOOP = f"counted by the training loop while it was trained anew; {_REFUSED}"
_ORIGIN = f"images handed out, or shown to modules, counted while it was trained anew; {_REFUSED}"


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
        task = {"function": None, "out": str(Path(request.runs).resolve()), "device": request.device}
        with _process(images, task, request.threads, {"recipe.toml": recipe.to_toml(seeded)}) as (answer, _):
            target = targets.find(Request(target=answer["run"], runs=request.runs, device=request.device))
        assert target.subject.training is not None  # a run has a record
        training = replace(target.subject.training, origin=_ORIGIN_OF_LOOP, refused=tuple(answer["refused"]))
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

    def train(number: int) -> Target:
        task: dict[str, Any] = {
            "function": how.function, "model": spec, "options": dict(request.options), "seed": number,
            "max_images": max_images, "device": request.device,
        }  # fmt: skip
        with _process(images, task, request.threads, {}) as (answer, folder):
            path = folder / "weights.safetensors"
            state, card, _ = models.weights_and_code(path, named=spec)
            model, worker = built(spec, request.options, state, str(path), request)
        seen = answer["images_seen"]
        training = Training(
            -(-seen // len(images)), seen, len(images), answer["peak_memory_bytes"], seconds=answer["seconds"],
            machine=machine.machine_words(machine.describe_machine(), "cpu", answer["threads"]), origin=_ORIGIN,
            refused=tuple(answer["refused"]),
        )  # fmt: skip
        subject = Subject(
            model, name=spec, spec=spec, num_classes=len(card.classes), mean=card.mean, std=card.std,
            device=str(pick_device(request.device)), trained=True, options=dict(request.options), training=training,
            classes=images.classes, trained_on=data.Origin(images.name, images.sha256),
        )  # fmt: skip
        facts = JudgedTarget(
            kind="model", name=spec, model=spec, options=dict(request.options), trained_by=how.function,
            trained_on=images.name, seed=number, budget_spent=answer["spent"],
        )  # fmt: skip
        return Target(subject, facts, of_card(card), worker=worker)

    return _Plan(0, train)


@contextmanager
def _process(
    images: data.ImageSet, task: Mapping[str, Any], threads: int | None, files: Mapping[str, str]
) -> Iterator[tuple[dict[str, Any], Path]]:
    """A training in a process of its own; gives its answer and the folder that it wrote, for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="tinydigits-") as name:
        folder = Path(name)
        np.savez(folder / "train.npz", images=images.images_NHW, labels=images.labels_N)
        hidden = [cache_folder("mnist").parent, *([Path(images.name)] if Path(images.name).is_dir() else [])]
        whole_task = dict(task) | {
            "source": images.name, "classes": images.classes, "threads": threads, "path": sys.path,
            "hidden": [str(path) for path in hidden],
        }  # fmt: skip
        (folder / "task.json").write_text(json.dumps(whole_task), encoding="utf-8")
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TINYDIGITS_")}
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("_process.py")), str(folder)],
            env=environment | {"TINYDIGITS_CACHE": str(folder / "empty")}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        try:
            answer = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
        except OSError:
            lines = done.stderr.strip().splitlines()
            answer = {"error": lines[-1] if lines else f"exit code {done.returncode}"}
        if "error" in answer:
            refused = f"; refused: {', '.join(answer['refused'])}" if answer.get("refused") else ""
            where = f"--retrain: {task['function'] or 'the recipe'}"
            raise TinydigitsError(where, f"the training failed: {answer['error']}{refused}")
        yield answer, folder


def find_function(spec: str) -> Callable[[Any, Any], Any]:
    """The function of `file.py:train` or `package.module:train`; raises TinydigitsError where there is none."""
    function = models.find(spec)
    if not callable(function) or isinstance(function, type):
        raise TinydigitsError(f"--train {spec}", got=repr(function), expected="a function train(model, data)")
    return function
