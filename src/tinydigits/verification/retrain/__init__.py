"""Training anew under a contract's budget, in a process that refuses the known files of test images."""

from tinydigits.verification.retrain.budget import BudgetSpent, TrainingData
from tinydigits.verification.retrain.plan import Budget, contract_of, retrain

__all__ = ["Budget", "BudgetSpent", "TrainingData", "contract_of", "retrain"]
