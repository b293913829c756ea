"""Verdicts as files: read and checked in one place, for all who show one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from tinydigits.errors import TinydigitsError, printable
from tinydigits.run.folder import Run
from tinydigits.text import json_tree, read_text

__all__ = ["code_note", "read_verdict", "verdict_of"]


_Count = Annotated[int, Field(ge=0)]


class _Details(BaseModel):
    data_sha256: str | None = None
    correct: _Count | None = None
    seen: _Count | None = None
    calibration_error: float | None = None

    @model_validator(mode="after")
    def _counts_belong_together(self) -> _Details:
        if self.correct is not None and not self.correct <= (self.seen or 0):
            raise ValueError("correct and no more seen")  # seen alone stands beside the counts of several seeds
        return self


class _Finding(BaseModel):
    check: str
    status: Literal["pass", "fail", "undecided", "not run"]
    measured: str
    limit: str = ""
    why: str = ""
    details: _Details = _Details()
    value: float | str | None = None
    advice: str = ""


class _Data(BaseModel):
    source: str
    split: str
    num_images: int
    sha256: str


class _Named(BaseModel):
    name: str
    weights_sha256: str | None = None


class _Verdict(BaseModel):
    """What the readers of a verdict take from it; it may hold more."""

    verdict: Literal["holds", "does not hold", "undecided"]
    target: _Named
    contract: _Named
    findings: list[_Finding]
    data: list[_Data] = []
    verified_at: str = ""
    seconds: float = 0
    versions: dict[str, str] = {}


def read_verdict(path: Path, where: object = None, *, hint: str = "") -> dict[str, Any]:
    """The tree of a file that `tinydigits verify` wrote; raises TinydigitsError where it is missing or damaged.

    >>> from tinydigits import pretrained
    >>> read_verdict(pretrained.find("sprint").run.file("verdict.json"))["verdict"]
    'holds'
    """
    where = path if where is None else where
    tree = json_tree(read_text(path, where), where)
    try:
        _Verdict.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ").partition(" or instance of")[0]
        problem = f"is no verdict, or damaged: {': '.join(filter(None, [key, reason]))}"
        raise TinydigitsError(where, problem, hint=hint) from error
    findings = [{"limit": "", "why": "", "details": {}} | finding for finding in tree["findings"]]
    verdict: dict[str, Any] = tree | {"findings": findings}
    return verdict


def verdict_of(run: Run) -> dict[str, Any] | None:
    """The verdict of these very weights; one of other weights is none. Raises TinydigitsError for a damaged one."""
    path, weights = run.folder / "verdict.json", run.folder / "weights.safetensors"
    if not path.is_file() or not weights.is_file():
        return None
    verdict = read_verdict(path, hint=f"tinydigits verify {run.folder}")
    judged = verdict["target"].get("weights_sha256")
    return verdict if judged == hashlib.sha256(weights.read_bytes()).hexdigest() else None


def code_note(target: Mapping[str, Any]) -> str:
    """What a verdict's target says of the code that was judged, where that is not known to be the run's own.

    >>> code_note({"code_differs": ["model.py", "blocks.py"]}), code_note({"code_differs": []})
    ("code differs from the run's: model.py, blocks.py", '')
    """
    differs = target.get("code_differs", [])
    if differs is None:
        return "whether the code is the run's is not known: its hash was not recorded"
    return f"code differs from the run's: {', '.join(map(printable, differs))}" if differs else ""
