"""Sweeps: many runs of one recipe with other settings or seeds, by Optuna, with workers on any number of machines.

>>> sweep = load("two-conv-batch-size")
>>> sweep.recipe, sweep.vary["data.batch_size"], len(sweep.grid())
('two-conv', (128, 100, 50, 10), 20)
"""

from tinydigits.sweep.crew import join, work
from tinydigits.sweep.fields import Point, Sweep
from tinydigits.sweep.files import check, file, is_sweep, load, names
from tinydigits.sweep.lease import Lease
from tinydigits.sweep.standing import Row, Standing
from tinydigits.sweep.study import Study, create, open_study

__all__ = [
    "Lease", "Point", "Row", "Standing", "Study", "Sweep", "check", "create", "file", "is_sweep", "join",
    "load", "names", "open_study", "work",
]  # fmt: skip
