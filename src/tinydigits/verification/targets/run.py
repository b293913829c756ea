"""A run: its weights, and what its record says of the training."""

from __future__ import annotations

import shlex

from tinydigits import data, models, recipe
from tinydigits.checks import Subject, Training
from tinydigits.errors import TinydigitsError
from tinydigits.machine import machine_words
from tinydigits.run import Record, Run, open_run, runs_in
from tinydigits.text import seen_from
from tinydigits.training import pick_device
from tinydigits.verdict import JudgedTarget
from tinydigits.verification.request import Request
from tinydigits.verification.targets import weights
from tinydigits.verification.targets._target import Kind, Target, built, of_card


def takes(request: Request) -> bool:
    """A folder, or nothing at all: then it is the latest run."""
    return request.target is None or request.is_folder


def load(request: Request) -> Target:
    """Read weights, record and recipe; raises TinydigitsError when one of them is missing or damaged."""
    run = open_run(request.target, request.runs)
    record = run.record
    path = run.file("weights.safetensors")
    state, card, code = models.weights_and_code(
        path, named=request.model, recorded=record.code_sha256,
        command=shlex.join(["tinydigits", "verify", str(run.folder)]),
    )  # fmt: skip
    built_model, worker = built(code.spec, card.options, state, str(path), request)
    followed = recipe.load(run.file("recipe.toml"))
    shift_pixels = followed.evaluation.shift_pixels
    subject = Subject(
        name=run.name, device=str(pick_device(request.device)), trained=True, file=path, shift_pixels=shift_pixels,
        training=Training(
            record.epochs, record.images_seen, record.num_train, record.peak_memory_bytes,
            finished=record.status == "finished", seconds=record.seconds.training + record.seconds.evaluation,
            machine=_describe(record),
        ),
        classes=tuple(card.classes), trained_on=data.Origin(record.source, record.data_sha256),
        siblings=lambda: [
            load(request.model_copy(update={"target": str(sibling.folder)})).with_input().subject
            for sibling in _siblings(run)
        ],
        **built_model, **of_card(card).known(),
    )  # fmt: skip
    facts = JudgedTarget(
        kind="run", name=run.name, model=request.model or card.model, code_differs=code.changed, options=card.options,
        recipe=followed.name, trained_on=record.source, test_time_shift_pixels=shift_pixels, **weights.facts(path),
    )  # fmt: skip
    return Target(subject, facts, of_card(card), contract_as_seen(followed.contract, run), run, worker)


def contract_as_seen(contract: str | None, run: Run) -> str | None:
    """The contract that a recipe names; a file is where it was when the training was started."""
    if contract is None or not contract.endswith(".toml"):
        return contract
    return next(iter(seen_from(contract, run.folder.parent)), contract)


def _describe(record: Record) -> str:
    return machine_words(record.machine, record.device, record.threads)


def _siblings(run: Run) -> list[Run]:
    """The finished runs beside this one whose recipe, code and training images differ in nothing but the seed."""
    own, mine, siblings = recipe.load(run.file("recipe.toml")), run.record, []
    for other in runs_in(run.folder.parent):
        try:
            record = other.record
        except TinydigitsError:  # damaged, or of a newer version: not known to be the same training
            continue
        if record.status != "finished" or record.data_sha256 != mine.data_sha256:
            continue
        if (record.code_sha256 or {}) != (mine.code_sha256 or {}):
            continue
        theirs = recipe.load(other.file("recipe.toml"))
        if theirs.seed != own.seed and theirs.model_copy(update={"seed": own.seed, "name": own.name}) == own:
            siblings.append(other)
    return siblings


KIND = Kind("a run's folder", 0, takes, load, names_code=True)
