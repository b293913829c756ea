"""A contract and a model give a verdict: every figure measured anew from the weights, none believed."""

from tinydigits.verify.files import keep
from tinydigits.verify.judge import Case, prepare, verify
from tinydigits.verify.retrain import BudgetSpent, Retraining, TrainingData
from tinydigits.verify.targets import InputSaid

__all__ = [
    "BudgetSpent", "Case", "InputSaid", "Retraining", "TrainingData", "keep", "prepare", "verify",
]  # fmt: skip
