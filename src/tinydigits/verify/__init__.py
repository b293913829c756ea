"""A contract and a model give a verdict: every figure measured anew from the weights, none believed."""

from tinydigits.verify.judge import Case, keep, prepare, verify
from tinydigits.verify.request import InputFacts, Request, Retraining
from tinydigits.verify.retrain import BudgetSpent, TrainingData

__all__ = [
    "BudgetSpent", "Case", "InputFacts", "Request", "Retraining", "TrainingData", "keep", "prepare", "verify",
]  # fmt: skip
