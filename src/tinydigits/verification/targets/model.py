"""A model by its registered name or its class: fresh, or with the weights of a file."""

from __future__ import annotations

from pathlib import Path

from tinydigits import contract, models
from tinydigits.checks import Subject
from tinydigits.training import pick_device
from tinydigits.verdict import JudgedTarget
from tinydigits.verification.request import InputFacts, Request
from tinydigits.verification.targets import weights
from tinydigits.verification.targets._target import Kind, Target, built, of_card, training_set

_NAME = "a model's name, file.py:Class or package.module:Class, with or without --weights"


def takes(request: Request) -> bool:
    """A registered name, or whatever has a colon."""
    return request.name in models.names() or ":" in request.name


def load(request: Request) -> Target:
    """Build it, with the same fresh weights each time where no file has others.

    Raises TinydigitsError when it cannot be built, and when the weights do not fit.
    """
    spec, options, state, card = request.name, dict(request.options), None, None
    path = Path(request.weights) if request.weights else None
    if path is not None:
        state, card = models.read_weights(path)
        options = (card.options if card is not None and card.model == spec else {}) | options
    built_model, worker = built(spec, options, state, str(path), request)
    subject = Subject(
        name=spec, device=str(pick_device(request.device)), trained=state is not None, file=path,
        **built_model, **training_set(card),
    )  # fmt: skip
    kind = "module" if spec in models.in_memory else "model"
    facts = JudgedTarget(kind=kind, name=spec, model=spec, options=options, **weights.facts(path))
    input_facts = of_card(card) if card is not None else InputFacts()
    return Target(subject, facts, input_facts, spec if spec in contract.names() else None, worker=worker)


KIND = Kind(_NAME, 1, takes, load, builds=True)
