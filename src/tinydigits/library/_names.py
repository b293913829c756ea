"""What a caller may name a model or a run by, and the name or the run that is meant."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from tinydigits.errors import TinydigitsError

if TYPE_CHECKING:
    from torch import nn

    from tinydigits.run import Run

    Model: TypeAlias = str | Path | type[nn.Module] | nn.Module

__all__ = ["Model", "run_of", "spec_of"]


def spec_of(model: Model) -> str:
    """The name by which a model is found again: a file's where it has one, else one of this session."""
    from torch import nn

    from tinydigits import models

    if isinstance(model, str | Path):
        models.allow(str(model), lasting=True)  # `verify` will find the name in the run
        return str(model)
    if not isinstance(model, nn.Module) and not (inspect.isclass(model) and issubclass(model, nn.Module)):
        raise TinydigitsError("model", got=repr(model), expected="a torch.nn.Module, its class, or file.py:Class")
    return models.hold(model)


def run_of(run: str | Path | Run | None, out: str | Path) -> Run:
    from tinydigits import pretrained
    from tinydigits.run import Run, open_run

    if isinstance(run, Run):
        return run
    if isinstance(run, pretrained.Pretrained):
        return run.run
    return pretrained.find(run).run if run in pretrained.names() else open_run(run, out)
