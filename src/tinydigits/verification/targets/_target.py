"""What is judged: a model that was loaded, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from tinydigits import models
from tinydigits.checks import Subject, isolated_random_state
from tinydigits.data import Origin
from tinydigits.models import WeightsCard
from tinydigits.run import Run
from tinydigits.training import pick_device
from tinydigits.verdict import JudgedTarget
from tinydigits.verification.request import InputFacts, Request
from tinydigits.verification.worker import Worker

__all__ = ["Kind", "NotYet", "Target", "built", "of_card", "of_module", "training_set"]


_UNKNOWN = InputFacts()


@dataclass(frozen=True)
class Target:
    """What will be judged: the subject of the checks, and the facts that a verdict states of it.

    `input` is what the target itself says of its input, which counts more than what a contract says. `contract` names
    the contract that it comes with, if any. `worker` is the process of a model that is not built here; its graph takes
    the place of the subject's model as soon as its input is known.
    """

    subject: Subject
    facts: JudgedTarget
    input: InputFacts = _UNKNOWN
    contract: str | None = None
    run: Run | None = None
    worker: Worker | None = None

    def with_input(self, of_user: InputFacts = _UNKNOWN, of_contract: InputFacts = _UNKNOWN) -> Target:
        """The same with what is known of its input: from the user, else itself, else the contract."""
        sources = {"the contract": of_contract, "the target": self.input, "the command line": of_user}
        values = {name: value for facts in sources.values() for name, value in facts.known().items()}
        origins = {name: source for source, facts in sources.items() for name in facts.known()}
        origins |= {name: "nobody" for name in ("input_shape", "mean", "std") if name not in values}
        subject = replace(self.subject, **values)
        final: dict[str, Any] = {name: getattr(subject, name) for name in InputFacts.model_fields}
        if self.worker is not None:
            subject = self.worker.judged(subject)
            final |= {"refused": self.worker.process.refused}
        return replace(self, subject=subject, facts=self.facts.model_copy(update=final | {"input_origins": origins}))


def of_module(model: nn.Module | None, device: str) -> Target:
    """A module that is already in memory; its weights are taken for trained ones."""
    assert model is not None
    name = type(model).__name__
    subject = Subject(model, name=name, device=str(pick_device(device)), trained=True)
    return Target(subject, JudgedTarget(kind="module", name=name, model=name))


class NotYet(nn.Module):
    """Stands for a model whose graph comes when its input is known."""


def built(
    spec: str,
    options: Mapping[str, Any],
    state: Mapping[str, Tensor] | None,
    weights: str,
    request: Request,
) -> tuple[nn.Module, Worker | None]:
    """A model with its weights; a stranger's is built in a worker, which is started now.

    Code of this package is built here, and so is what a Python session gave as an object: it has run here already.
    """
    if ":" not in spec or spec in models.in_memory:
        with isolated_random_state(seed=0):
            if state is None:
                return models.build(spec, options), None
            return models.build_with_weights(spec, options, state, weights), None
    models.allow(spec)
    return NotYet(), Worker(spec, options, state, weights=weights, threads=request.threads)


def training_set(card: WeightsCard | None) -> dict[str, Any]:
    """What a card says of the training's data set, by the fields of `Subject`."""
    if card is None:
        return {}
    return {"classes": tuple(card.classes), "trained_on": Origin(card.source, card.data_sha256 or "")}


def of_card(card: WeightsCard) -> InputFacts:
    """What a card says of the input of its model."""
    return InputFacts(input_shape=card.input_shape, mean=card.mean, std=card.std, num_classes=len(card.classes))


@dataclass(frozen=True)
class Kind:
    """A kind of target: what it is in words, whether a request names one, and how it is loaded.

    Kinds of a lower `order` look more closely and are asked first. What `builds` is built from nothing, so that it can
    be given weights and options. What `names_code` says itself what model it is of, and the user can name the code.
    """

    name: str
    order: int
    takes: Callable[[Request], bool]
    load: Callable[[Request], Target]
    builds: bool = False
    names_code: bool = False
