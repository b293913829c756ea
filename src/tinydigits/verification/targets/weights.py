"""A weights file that says what model it belongs to: what `tinydigits train` writes."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path
from typing import Any

from tinydigits import models
from tinydigits.checks import Subject
from tinydigits.errors import TinydigitsError
from tinydigits.run import Run
from tinydigits.training import pick_device
from tinydigits.verdict import JudgedTarget
from tinydigits.verification.request import Request
from tinydigits.verification.targets._target import Kind, Target, built, of_card, training_set


def takes(request: Request) -> bool:
    """A file of weights."""
    return request.is_file(".safetensors", ".pt", ".pth")


def load(request: Request) -> Target:
    """Build the model that the card names; raises TinydigitsError when there is no card, or it does not fit."""
    path = Path(request.name)
    state, card, code = models.weights_and_code(
        path,
        named=request.model,
        recorded=_recorded(path.parent),
        command=shlex.join(["tinydigits", "verify", request.name]),
    )
    built_model, worker = built(code.spec, card.options, state, str(path), request)
    subject = Subject(
        name=path.name, device=str(pick_device(request.device)), trained=True, file=path,
        **built_model, **training_set(card),
    )  # fmt: skip
    judged = JudgedTarget(
        kind="weights", name=path.name, model=request.model or card.model, code_differs=code.changed,
        options=card.options, recipe=card.recipe, trained_on=card.source, **facts(path),
    )  # fmt: skip
    return Target(subject, judged, of_card(card), worker=worker)


def _recorded(folder: Path) -> dict[str, str] | None:
    """The hashes of the code by the record beside a file, where it lies in a run."""
    try:
        return Run(folder).record.code_sha256
    except TinydigitsError:
        return None


def facts(path: Path | None) -> dict[str, Any]:
    """Which file the weights are from, and its SHA-256; None where there is none."""
    if path is None:
        return {"weights_file": None, "weights_sha256": None}
    return {"weights_file": path.name, "weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


KIND = Kind("a .safetensors, .pt or .pth of tinydigits", 2, takes, load, names_code=True)
