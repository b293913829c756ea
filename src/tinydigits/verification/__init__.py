"""A contract and a model give a verdict: every figure measured anew from the weights, none believed."""

from tinydigits.verification.judge import Case, keep, prepare, verify
from tinydigits.verification.request import InputFacts, Request, Retraining
from tinydigits.verification.retrain import BudgetSpent, TrainingData

__all__ = [
    "BudgetSpent", "Case", "InputFacts", "Request", "Retraining", "TrainingData", "keep", "prepare", "verify",
]  # fmt: skip
