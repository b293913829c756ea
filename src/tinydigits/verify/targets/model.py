"""A model by its registered name or its class: fresh, or with the weights of a file."""

from __future__ import annotations

from tinydigits import contract, models
from tinydigits.checks import Subject, isolated_random_state
from tinydigits.train import pick_device
from tinydigits.verdict import JudgedTarget
from tinydigits.verify.targets import weights
from tinydigits.verify.targets._target import Asked, InputSaid, Kind, Target, of_card, training_set


def takes(asked: Asked) -> bool:
    """A registered name, or whatever has a colon."""
    return asked.text in models.names() or ":" in asked.text


def load(asked: Asked) -> Target:
    """Build it, with the same fresh weights each time where no file has others.

    Raises TinydigitsError when it cannot be built, and when the weights do not fit.
    """
    spec, options = asked.text, dict(asked.options)
    says, state, card = InputSaid(), None, None
    if asked.weights is not None:
        state, card = models.read_weights(asked.weights)
        says = of_card(card) if card is not None else says
        options = (card.options if card is not None and card.model == spec else {}) | options
    with isolated_random_state(seed=0):
        model = models.build(spec, options)
    if state is not None:
        models.fit_weights(model, state, str(asked.weights))
    subject = Subject(
        model, name=spec, spec=spec, options=options, device=str(pick_device(asked.device)),
        trained=state is not None, file=asked.weights, **training_set(card),
    )  # fmt: skip
    facts = JudgedTarget(kind="model", name=spec, model=spec, options=options, **weights.facts(asked.weights))
    return Target(subject, facts, says, spec if spec in contract.names() else None)


_WORDS = "a model's name, file.py:Class or package.module:Class, with or without --weights"
KIND = Kind(_WORDS, 1, takes, load, builds=True)
