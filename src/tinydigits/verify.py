"""A contract and a model give a verdict: every figure measured anew from the weights, none believed.

What weights cannot tell (epochs, memory of the training) comes from the run's record, and its finding says so.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tinydigits import checks, contract, machine, models, recipe
from tinydigits.checks import Finding, Subject, Training, isolated_random_state
from tinydigits.contract import Contract
from tinydigits.data import ImageSet
from tinydigits.errors import TinydigitsError
from tinydigits.evaluate import Evaluation
from tinydigits.run import Run, open_run
from tinydigits.train import limit_threads, pick_device

__all__ = ["FORMAT", "Verdict", "keep", "verify"]

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

    def to_json(self) -> str:
        """The verdict as JSON, numbers that JSON does not know (NaN, infinity) as strings."""
        tree = {
            "format": FORMAT,
            "verdict": self.word,
            "exit_code": self.exit_code,
            "target": self.target,
            "contract": {"name": self.contract.name, "sha256": self.contract.sha256, "text": self.contract.text},
            "data": list(self.data),
            "findings": [asdict(finding) for finding in self.findings],
        } | self.circumstances
        return json.dumps(_plain(tree), indent=2, allow_nan=False) + "\n"


def verify(
    target: str | Path | None = None,
    contract_name: str | Path | Contract | None = None,
    *,
    out: str | Path = "runs",
    source: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    on_finding: Callable[[Finding], None] = lambda finding: None,
) -> Verdict:
    """Put every check of a contract to a run, or to a fresh model by its name or class; writes nothing.

    >>> verdict = verify("two-conv", Contract(name="small", model={"parameters": {"max": 25_000}}))
    >>> verdict.word, verdict.findings[0].measured
    ('holds', '13,242')

    `target` is a run's folder (None: the latest in `out`), a registered model, `file.py:Class` or
    `package.module:Class`. The contract is that of the run's recipe unless one is named. `source` replaces the data set
    that the accuracy check names. Raises TinydigitsError when the question is malformed: no such target, no such
    contract, a key that no check has, a run without weights, a model that cannot be built or does not answer in one row
    of classes.
    """
    started = time.perf_counter()
    with limit_threads(threads):
        run = _find_run(target, out)
        subject, facts = _subject_of_run(run, device) if run else _subject_of_model(str(target), device)
        agreed = _find_contract(contract_name, facts.pop("contract", None), subject)
        if source is not None:
            agreed = _with_source(agreed, source)
        asked = checks.bind(agreed)
        if not any(check.name == "shapes.output" for check, _ in asked):
            _must_answer_in_rows(subject)
        findings = []
        for check, limits in asked:
            findings.append(checks.run(check, subject, limits))
            on_finding(findings[-1])
        circumstances = {
            "verified_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "seconds": round(time.perf_counter() - started, 3),
            "device": subject.device, "threads": torch.get_num_threads(),
            "machine": machine.describe_machine(), "versions": machine.describe_versions(),
        }  # fmt: skip
    data = tuple(
        {"source": name, "split": split, "num_images": len(images), "sha256": images.sha256}
        for (name, split), (images, _) in subject.evaluations.items()
    )
    return Verdict(facts, agreed, tuple(findings), data, circumstances, run, subject.evaluations)


def keep(verdict: Verdict) -> None:
    """Write `verdict.json` and, where test images were asked, `predictions.npz` into the verdict's run.

    `predictions.npz` has `labels`, `predicted`, `probability` (of the predicted class) for every image in order, the
    `confusion` (row: label), and the worst mistakes as `mistakes_index`, `_images`, `_labels`, `_predicted`,
    `_probability`; it loads without pickle. Does nothing for a model that is no run.
    """
    if verdict.run is None:
        return
    verdict.run.write("verdict.json", verdict.to_json())
    for (_, split), (images, answers) in verdict.evaluations.items():
        if split == "test":
            verdict.run.write("predictions.npz", _predictions_bytes(images, answers))


def _find_run(target: str | Path | None, out: str | Path) -> Run | None:
    if target is None:
        return open_run(None, out)
    if Path(target).is_dir() or (Path(out) / str(target)).is_dir():
        return open_run(target, out)
    text = str(target)
    if text not in models.names() and ":" not in text:
        raise TinydigitsError(
            f"target {text}",
            "is neither a run's folder nor a model",
            expected=f"a folder, file.py:Class, or one of {', '.join(models.names())}",
            hint="tinydigits runs ls",
        )
    return None


def _subject_of_run(run: Run, device: str) -> tuple[Subject, dict[str, Any]]:
    record = run.record
    weights = run.file("weights.safetensors")
    model, card = models.load_weights(weights)
    followed = recipe.load(run.file("recipe.toml"))
    shift_pixels = followed.evaluation.shift_pixels
    subject = Subject(
        model, name=run.name, input_shape=card.input_shape, num_classes=len(card.classes), mean=card.mean,
        std=card.std, device=str(pick_device(device)), spec=card.model, options=card.options, trained=True,
        training=Training(
            record.epochs, record.images_seen, record.num_train, record.peak_memory_bytes,
            finished=record.status == "finished",
        ),
        shift_pixels=shift_pixels,
    )  # fmt: skip
    return subject, {
        "kind": "run", "name": run.name, "model": card.model, "options": card.options, "recipe": followed.name,
        "contract": followed.contract, "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "trained_on": card.source, "mean": card.mean, "std": card.std, "test_time_shift_pixels": shift_pixels,
    }  # fmt: skip


def _subject_of_model(spec: str, device: str) -> tuple[Subject, dict[str, Any]]:
    with isolated_random_state(seed=0):
        model = models.build(spec)
    subject = Subject(model, name=spec, spec=spec, device=str(pick_device(device)))
    return subject, {"kind": "model", "name": spec, "model": spec, "options": {}, "weights_sha256": None}


def _find_contract(named: str | Path | Contract | None, own: str | None, subject: Subject) -> Contract:
    if isinstance(named, Contract):
        return named
    if named is None and own is None:
        if subject.name not in contract.names():
            raise TinydigitsError(f"{subject.name}", "names no contract", hint="--contract under-25k")
        own = subject.name
    return contract.load(named if named is not None else str(own))


def _with_source(agreed: Contract, source: str) -> Contract:
    """The same contract on other images; its text, and so its hash, says so."""
    if not agreed.accuracy:
        raise TinydigitsError(f"contract {agreed.name}", "asks for no accuracy, so there is no data set to replace")
    tree = agreed.model_dump(exclude_defaults=True)
    return Contract.model_validate(tree | {"accuracy": agreed.accuracy | {"source": source}})


def _must_answer_in_rows(subject: Subject) -> None:
    with subject.borrow() as model, torch.no_grad():
        images_BCHW = subject.images(2)
        try:
            shape = tuple(checks.logits_of(model, images_BCHW).shape)
        except Exception as error:  # the model's own code
            raise TinydigitsError(
                f"model {subject.name}",
                f"fails on input of shape {tuple(images_BCHW.shape)}: {type(error).__name__}: {error}",
            ) from error
    if shape != (2, subject.num_classes):
        raise TinydigitsError(
            f"model {subject.name}", f"output shape for {tuple(images_BCHW.shape)}",
            got=shape, expected=(2, subject.num_classes),
        )  # fmt: skip


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
