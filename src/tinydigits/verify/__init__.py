"""A contract and a model give a verdict: every figure measured anew from the weights, none believed."""

from tinydigits.verify.judge import Case, prepare, verify
from tinydigits.verify.verdict import FORMAT, Verdict, keep

__all__ = ["FORMAT", "Case", "Verdict", "keep", "prepare", "verify"]
