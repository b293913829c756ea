"""The files that a run keeps of its verdict."""

from __future__ import annotations

import io

import numpy as np

from tinydigits.data import ImageSet
from tinydigits.evaluate import Evaluation
from tinydigits.verdict import Verdict
from tinydigits.verify.judge import Case

__all__ = ["keep"]

_NUM_MISTAKES = 40


def keep(case: Case, verdict: Verdict) -> None:
    """Write `verdict.json` and, where the model was evaluated on test images, `predictions.npz` into the judged run.

    `predictions.npz` is of the first test set. It has `labels`, `predicted`, `probability` (of the predicted class) for
    every image in order, the `confusion` (row: label), and the worst mistakes as `mistakes_index`, `_images`,
    `_labels`, `_predicted`, `_probability`; it loads without pickle. Does nothing for a model that is no run.
    """
    if case.run is None:
        return
    case.run.write("verdict.json", verdict.to_json())
    tested = [pair for (_, split), pair in case.evaluations.items() if split == "test"]
    if tested:
        case.run.write("predictions.npz", _predictions_bytes(*tested[0]))


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
