"""A contract's static limits, put to a recipe before it is trained, by the verifier's own checks."""

from __future__ import annotations

import torch

from tinydigits import checks, contract, models
from tinydigits.checks import Subject, Training
from tinydigits.errors import TinydigitsError
from tinydigits.recipe import Recipe
from tinydigits.verdict import Finding

__all__ = ["broken_limits"]

# What is known before the first step: the structure of the model, and how long the recipe would train.
_STATIC = ("model.", "training.epochs", "training.images_seen")


def broken_limits(recipe: Recipe, contract_name: str, num_train: int) -> list[Finding]:
    """The static limits of a contract that a recipe would break, with what the check measured.

    >>> import tinydigits.recipe
    >>> recipe = tinydigits.recipe.load("gap-cnn-tuned", ["epochs=20"])
    >>> [(finding.check, finding.measured) for finding in broken_limits(recipe, "under-8k-994", 60_000)]
    [('model.parameters', '9,274'), ('training.epochs', '20')]

    Raises TinydigitsError for a model that cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        model = models.build(recipe.model.name, recipe.model.options)
    bound = checks.bind(contract.load(contract_name))
    static = [(check, limits) for check, limits in bound if check.name.startswith(_STATIC)]
    if not static:
        raise TinydigitsError(f"contract {contract_name}", "has no limit that is known before training")
    planned = Training(recipe.epochs, recipe.epochs * num_train, num_train, 0, origin="from the recipe")
    subject = Subject(model, name=recipe.model.name, training=planned)
    findings = [checks.run(check, subject, limits) for check, limits in static]
    return [finding for finding in findings if finding.status != "pass"]
