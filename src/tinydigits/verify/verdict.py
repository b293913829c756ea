"""A verdict: all findings together, what they are about, and the files that a run keeps of it."""

from __future__ import annotations

import io
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from tinydigits.checks import Finding
from tinydigits.contract import Contract
from tinydigits.data import ImageSet
from tinydigits.evaluate import Evaluation
from tinydigits.run import Run

__all__ = ["FORMAT", "Verdict", "keep"]

FORMAT = 1
_NUM_MISTAKES = 40


@dataclass(frozen=True)
class Verdict:
    """All findings, and what exactly they are about.

    `exit_code` is 0 when every check passes, else 1: what is undecided or was not run does not hold.
    """

    target: dict[str, Any]
    contract: Contract
    findings: tuple[Finding, ...]
    data: tuple[dict[str, Any], ...]
    circumstances: dict[str, Any]
    run: Run | None = None
    evaluations: dict[tuple[str, str], tuple[ImageSet, Evaluation]] = field(default_factory=dict, repr=False)

    @property
    def word(self) -> Literal["holds", "does not hold", "undecided"]:
        statuses = {finding.status for finding in self.findings}
        if "fail" in statuses:
            return "does not hold"
        return "holds" if statuses == {"pass"} else "undecided"

    @property
    def exit_code(self) -> int:
        return 0 if self.word == "holds" else 1

    def tree(self) -> dict[str, Any]:
        """All of it as JSON's types, numbers that JSON does not know (NaN, infinity) as strings."""
        tree = {
            "format": FORMAT,
            "verdict": self.word,
            "exit_code": self.exit_code,
            "target": self.target,
            "contract": {"name": self.contract.name, "sha256": self.contract.sha256, "text": self.contract.text},
            "data": list(self.data),
            "findings": [asdict(finding) for finding in self.findings],
        } | self.circumstances
        plain: dict[str, Any] = _plain(tree)
        return plain

    def to_json(self) -> str:
        """The tree as text."""
        return json.dumps(self.tree(), indent=2, allow_nan=False) + "\n"


def keep(verdict: Verdict) -> None:
    """Write `verdict.json` and, where test images were asked, `predictions.npz` into the verdict's run.

    `predictions.npz` is of the first test set that was asked. It has `labels`, `predicted`, `probability` (of the
    predicted class) for every image in order, the `confusion` (row: label), and the worst mistakes as `mistakes_index`,
    `_images`, `_labels`, `_predicted`, `_probability`; it loads without pickle. Does nothing for a model that is no
    run.
    """
    if verdict.run is None:
        return
    verdict.run.write("verdict.json", verdict.to_json())
    tested = [pair for (_, split), pair in verdict.evaluations.items() if split == "test"]
    if tested:
        verdict.run.write("predictions.npz", _predictions_bytes(*tested[0]))


def _predictions_bytes(images: ImageSet, answers: Evaluation) -> bytes:
    wrong_N = np.flatnonzero(answers.predicted_N != images.labels_N)
    worst = wrong_N[np.argsort(-answers.probability_N[wrong_N], kind="stable")][:_NUM_MISTAKES]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        labels=images.labels_N,
        predicted=answers.predicted_N.astype(np.uint8),
        probability=answers.probability_N.astype(np.float32),
        confusion=answers.confusion_KK,
        mistakes_index=worst,
        mistakes_images=images.images_NHW[worst],
        mistakes_labels=images.labels_N[worst],
        mistakes_predicted=answers.predicted_N[worst].astype(np.uint8),
        mistakes_probability=answers.probability_N[worst].astype(np.float32),
    )
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    """Only what JSON knows."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
