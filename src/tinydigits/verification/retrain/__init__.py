"""Training anew under a contract's budget, in a sandboxed process that is given the training images alone."""

from tinydigits.verification.retrain.budget import BudgetSpent, TrainingData
from tinydigits.verification.retrain.plan import Budget, contract_of, retrain

__all__ = ["Budget", "BudgetSpent", "TrainingData", "contract_of", "retrain"]
