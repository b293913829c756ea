"""Training anew under a contract's budget, in a process that test images are kept from."""

from tinydigits.verify.retrain.budget import BudgetSpent, TrainingData
from tinydigits.verify.retrain.plan import Budget, Retraining, contract_of, retrain

__all__ = ["Budget", "BudgetSpent", "Retraining", "TrainingData", "contract_of", "retrain"]
