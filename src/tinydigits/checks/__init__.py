"""Checks: a file each, found by folder. A check measures one thing and says whether it holds to a contract's limit.

A file of this room has `NAME` (its path in a contract), `Limits` (what the contract may say), `check(subject, limits)`,
`ADVICE` (what to do where it does not pass) and `EXAMPLES`, at least one that passes and one that fails; its docstring
says what is checked and why. `NEEDS` names what not every format of a model can be asked: `train`, `gradients`,
`state`, `devices`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from tinydigits.checks._examples import Example
from tinydigits.checks._images import ImageLimits
from tinydigits.checks._limits import Limits
from tinydigits.checks._subject import Subject, Training, isolated_random_state, logits_of
from tinydigits.contract import Contract
from tinydigits.errors import EndsProcess, TinydigitsError, explain_validation, foreign_code, unknown_name
from tinydigits.plugins import Plugins
from tinydigits.trace import Contradiction
from tinydigits.verdict import Finding

__all__ = [
    "Check", "Example", "Limits", "Subject", "Training",
    "bind", "get", "isolated_random_state", "logits_of", "names", "run",
]  # fmt: skip

_CONTRADICTS = "Leave nn.Module's own methods as they are, and let the forward pass be the same however it is called."


@dataclass(frozen=True)
class Check:
    """One file of this room."""

    name: str
    doc: str
    limits: type[Limits]
    function: Callable[[Subject, Any], Finding]
    examples: tuple[Example, ...]
    advice: str
    needs: tuple[str, ...]


def names() -> list[str]:
    """The names of all checks, as contracts write them.

    >>> "model.parameters" in names()
    True
    """
    return sorted(_checks())


def get(name: str) -> Check:
    """A check by its name; raises TinydigitsError with near matches.

    >>> get("model.parameters").doc.splitlines()[0]
    'How many numbers the model learns.'
    """
    if name not in _checks():
        raise unknown_name("checks", name, names(), kind="check")
    return _checks()[name]


def bind(contract: Contract) -> list[tuple[Check, Limits]]:
    """The checks that a contract asks for with their limits, every key and value tried.

    >>> [(check.name, limits.max) for check, limits in bind(Contract(name="c", model={"parameters": {"max": 10}}))]
    [('model.parameters', 10)]

    A check within another's table (`accuracy.per_class` within `accuracy`) takes from it which images are asked, where
    it says nothing else itself. Raises TinydigitsError, with the contract and the key, for a check, a key or a value
    that does not fit.
    """
    limits_of = contract.limits(names())
    return [
        (get(name), _parsed(contract, get(name), _inherited(limits_of, name) | limits_of[name])) for name in limits_of
    ]


def run(check: Check, subject: Subject, limits: Limits | Mapping[str, Any]) -> Finding:
    """Put one check to a subject. What goes wrong inside the model becomes a finding, not an error.

    Raises EndsProcess where its code ends the process: of such a model there is no finding.

    >>> from torch import nn
    >>> run(get("model.parameters"), Subject(nn.Linear(784, 10), input_shape=(784,)), {"max": 10_000}).measured
    '7,850'
    """
    bound = limits if isinstance(limits, Limits) else check.limits.model_validate(dict(limits))
    bound = bound.for_subject(subject)
    finding = _put(check, subject, bound)
    if isinstance(bound, ImageLimits):
        finding = bound.name_training_set(finding, subject)
    advice = "" if finding.status == "pass" else finding.advice or check.advice
    return replace(finding, check=check.name, limit=finding.limit or bound.text(), advice=advice)


def _put(check: Check, subject: Subject, limits: Limits) -> Finding:
    missing = [subject.lacks[need] for need in check.needs if need in subject.lacks]
    if missing:
        return Finding.not_run(check.name, missing[0], advice="Verify the model's class with --weights, or its run.")
    with foreign_code(f"model {subject.name}", f"when it is called for {check.name}"):
        try:
            return check.function(subject, limits)
        except EndsProcess:
            raise
        except Contradiction as error:
            return Finding(check.name, "fail", "contradicts itself", "", str(error), advice=_CONTRADICTS)
        except TinydigitsError as error:
            problem, _, hint = str(error).partition("\n  try: ")
            return Finding.not_run(check.name, problem, advice=hint)
        except Exception as error:  # the model's own code runs in here
            first_line = next(iter(str(error).splitlines()), "")
            return Finding(
                check.name, "fail", "an error", "", f"the model raised {type(error).__name__}: {first_line}",
                advice="Call the model by hand on such a batch, in train and in eval mode.",
            )  # fmt: skip


def _inherited(tables: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """What the check around this one says of the images, as far as this one can be told the same."""
    around = tables.get(name.rpartition(".")[0], {})
    shared = ImageLimits.model_fields.keys() & get(name).limits.model_fields.keys() & around.keys()
    return {key: around[key] for key in shared}


def _parsed(contract: Contract, check: Check, values: dict[str, Any]) -> Limits:
    where = f"contract {contract.name}: {check.name}"
    try:
        return check.limits.model_validate(values)
    except ValidationError as error:
        within = [name.rpartition(".")[2] for name in names() if name.startswith(f"{check.name}.")]
        raise explain_validation(
            where, error, values, lambda location: [*check.limits.model_fields, *within]
        ) from error


@cache
def _checks() -> dict[str, Check]:
    modules = Plugins[ModuleType](__name__, "", where="checks", kind="file").all()
    return {
        module.NAME: Check(
            module.NAME, (module.__doc__ or "").strip(), module.Limits, module.check, tuple(module.EXAMPLES),
            getattr(module, "ADVICE", ""), getattr(module, "NEEDS", ()),
        )
        for module in modules
    }  # fmt: skip
