"""A contract and a model give a verdict: every figure measured anew from the weights, none believed."""

from tinydigits.verify.judge import Case, prepare, verify
from tinydigits.verify.retrain import BudgetSpent, Retraining, TrainingData
from tinydigits.verify.targets import InputSaid
from tinydigits.verify.verdict import FORMAT, Verdict, keep

__all__ = [
    "FORMAT", "BudgetSpent", "Case", "InputSaid", "Retraining", "TrainingData", "Verdict", "keep", "prepare", "verify",
]  # fmt: skip
