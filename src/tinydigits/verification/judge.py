"""Every check of a contract, put to a target.

What weights cannot tell (epochs, memory of the training) comes from the run's record, and its finding says so.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from tinydigits import checks, data, machine
from tinydigits import contract as contracts
from tinydigits.checks import Check, Limits, Subject
from tinydigits.contract import Contract
from tinydigits.data import ImageSet
from tinydigits.errors import TinydigitsError, foreign_code
from tinydigits.evaluate import Evaluation
from tinydigits.run import Run, open_run
from tinydigits.text import source_alias
from tinydigits.training import limit_threads
from tinydigits.verdict import Finding, Findings, JudgedContract, JudgedData, Verdict
from tinydigits.verification import targets
from tinydigits.verification.request import InputFacts, Request
from tinydigits.verification.retrain import contract_of, retrain
from tinydigits.verification.targets import Target

__all__ = ["Case", "keep", "prepare", "verify"]

_NUM_MISTAKES = 40


@dataclass(frozen=True)
class Case:
    """A model that was loaded and a contract brought together, with the checks that it asks for, none of them put yet.

    >>> contract = Contract(name="small", model={"parameters": {"max": 25_000}})
    >>> case = prepare(Request(target="two-conv", contract=contract))
    >>> [case.put(check, limits).status for check, limits in case.checks]
    ['pass']
    """

    target: Target
    contract: Contract
    checks: tuple[tuple[Check, Limits], ...]
    threads: int | None
    started: float

    @property
    def run(self) -> Run | None:
        """The run that is judged, None where the target is none."""
        return self.target.run

    @property
    def evaluations(self) -> dict[tuple[str, str], tuple[ImageSet, Evaluation]]:
        """By source and split: the images that the model was evaluated on so far, and its answers."""
        return self.target.subject.evaluations

    def put(self, check: Check, limits: Limits) -> Finding:
        """One check's finding; what several checks measure is measured once."""
        return checks.run(check, self.target.subject, limits)

    def judge(self, on_finding: Callable[[Finding], None] = lambda finding: None) -> Verdict:
        """Put every check, and gather the findings."""
        subject, findings = self.target.subject, []
        with limit_threads(self.threads):
            for check, limits in self.checks:
                findings.append(self.put(check, limits))
                on_finding(findings[-1])
            seconds, threads = round(time.perf_counter() - self.started, 3), torch.get_num_threads()
        evaluated = tuple(
            JudgedData(source=source, split=split, num_images=len(images), sha256=images.sha256)
            for (source, split), (images, _) in self.evaluations.items()
        )
        facts = {
            "output": _output(subject),
            "printed": self.target.worker.process.printed if self.target.worker else "",
        }
        return Verdict(
            target=self.target.facts.model_copy(update=facts),
            contract=JudgedContract(name=self.contract.name, sha256=self.contract.sha256, text=self.contract.text),
            data=evaluated, findings=Findings(findings), verified_at=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            seconds=seconds, device=subject.device, threads=threads, machine=machine.describe_machine(),
            versions=machine.describe_versions(),
        )  # fmt: skip


def verify(
    request: Request,
    module: nn.Module | None = None,
    *,
    on_training: Callable[[str], None] = lambda seed: None,
    on_finding: Callable[[Finding], None] = lambda finding: None,
) -> Verdict:
    """Put every check of a contract to a run or to any other classifier; writes nothing, and changes nothing in it.

    >>> contract = Contract(name="small", model={"parameters": {"max": 25_000}})
    >>> verdict = verify(Request(target="two-conv", contract=contract))
    >>> verdict.word, verdict.findings[0].measured
    ('holds', '13,242')

    With `module`, that module in memory is judged in place of a target that is named; its weights are taken for trained
    ones. Raises TinydigitsError for a malformed request: no such target, no such contract, a key that no check has, a
    run without weights, code that the user has not named, a model that cannot be built or does not answer in one row of
    classes, a training that fails.
    """
    return prepare(request, module, on_training=on_training).judge(on_finding)


def prepare(
    request: Request, module: nn.Module | None = None, *, on_training: Callable[[str], None] = lambda seed: None
) -> Case:
    """The first half of `verify`, for a caller that puts the checks one by one or keeps what they measured.

    The arguments and the errors are those of `verify`.
    """
    started = time.perf_counter()
    with limit_threads(request.threads):
        request = request.at_latest()
        if request.retraining is None:
            target = targets.find(request, module)
            own_contract = target.contract
        elif request.weights is not None or module is not None:
            raise TinydigitsError("--retrain", "builds the model anew: name its class or its run, and no weights")
        else:
            own_contract = contract_of(request)
        contract = _find_contract(request, own_contract)
        if request.data is not None:
            contract = _with_source(contract, request.data)
        bound = checks.bind(contract)
        if request.retraining is not None:
            target = retrain(request, bound, on_training)
        if request.data is None and request.contract is None and own_contract in contracts.names():
            contract = _for_own_data(contract, target.subject)
            bound = checks.bind(contract)
        if request.retraining is not None:
            bound = _of_a_training(bound, target.facts.seeds or 1)
        target = _with_baseline(request, _with_data_at_hand(target, bound))
        target = target.with_input(request.input, _input_facts(bound))
        if not any(check.name == "shapes.output" for check, _ in bound):
            _must_answer_in_rows(target.subject)
        if target.subject.own_answers is not None:
            bound = _with_graph(bound)
        return Case(target, contract, tuple(bound), request.threads, started)


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


def _with_baseline(request: Request, target: Target) -> Target:
    """With what a contract may compare it to, where code that the user named stands for a run of the same code."""

    def open_baseline(name: str) -> Subject:
        other = Request(target=name, runs=request.runs, device=request.device).at_latest()
        if request.model is not None and target.run is not None and other.is_folder:
            code_sha256 = open_run(other.target, other.runs).record.code_sha256
            is_same = code_sha256 == target.run.record.code_sha256
            other = other.model_copy(update={"model": request.model if is_same else None})
        # Both are evaluated on the same images.
        baseline = targets.find(other).with_input().subject
        return replace(baseline, trained_on=None, load_images=target.subject.load)

    return replace(target, subject=replace(target.subject, baseline=open_baseline))


def _input_facts(bound: Sequence[tuple[Check, Limits]]) -> InputFacts:
    """What a contract says of the model's input, in the limits of the checks of shapes."""
    limits = {check.name: limits for check, limits in bound}
    facts: dict[str, Any] = limits["shapes.input"].input_facts() if "shapes.input" in limits else {}  # type: ignore[attr-defined]
    return InputFacts(**facts, num_classes=getattr(limits.get("shapes.output"), "classes", None))


def _find_contract(request: Request, own: str | None) -> Contract:
    chosen = request.contract if request.contract is not None else own
    if chosen is None:
        raise TinydigitsError(request.name or "the target", "names no contract", hint="--contract under-25k")
    return chosen if isinstance(chosen, Contract) else contracts.load(chosen)


def _of_a_training(bound: list[tuple[Check, Limits]], num_seeds: int) -> list[tuple[Check, Limits]]:
    """The checks of a target that was trained anew: every seed counts."""
    return [
        (check, limits.model_copy(update={"seeds": max(num_seeds, limits.seeds)}))  # type: ignore[attr-defined]
        if check.name == "accuracy" else (check, limits)
        for check, limits in bound
    ]  # fmt: skip


def _with_graph(bound: list[tuple[Check, Limits]]) -> list[tuple[Check, Limits]]:
    """The checks of a stranger's code: its graph is judged, and in the end the code must answer as its graph does."""
    graph = checks.get("model.graph")
    asked = next((limits for check, limits in bound if check == graph), graph.limits())
    return [pair for pair in bound if pair[0] != graph] + [(graph, asked)]


def _for_own_data(shipped: Contract, subject: Subject) -> Contract:
    """The contract that a recipe brings along, of a run that was trained on another data set than the recipe's own.

    A shipped contract means its recipe's data. Whoever trains that recipe on a folder wants to know the same of the
    folder's test images; who wants the contract as it stands names it.
    """
    if subject.trained_on is None or _named_sources(checks.bind(shipped)) <= {subject.trained_on.source}:
        return shipped
    own = _with_source(shipped, subject.trained_on.source)
    output = own.shapes.get("output")
    if subject.classes and isinstance(output, dict) and "classes" in output:
        shapes = own.shapes | {"output": output | {"classes": len(subject.classes)}}
        own = Contract.model_validate(own.model_dump(exclude_defaults=True) | {"shapes": shapes})
    return own


def _with_data_at_hand(target: Target, bound: Sequence[tuple[Check, Limits]]) -> Target:
    """Where a contract names the images that it was trained on by another path than then, they are there now."""
    own = target.subject.trained_on
    if own is None:
        return target
    for source in sorted(_named_sources(bound) - {own.source}) if own.train_sha256 else ():
        with suppress(TinydigitsError):  # that it cannot be read, the check itself will say
            if target.subject.load_images(source, "train").sha256 == own.train_sha256:
                own = replace(own, source=source)
                break
    facts = target.facts.model_copy(update={"trained_on": own.source})
    return replace(target, facts=facts, subject=replace(target.subject, trained_on=own))


def _named_sources(bound: Sequence[tuple[Check, Limits]]) -> set[str]:
    named = {getattr(limits, "source", None) for _, limits in bound}
    return {data.locate(source) for source in named if source is not None}


def _with_source(contract: Contract, source: str) -> Contract:
    """The same contract on other images; its name and its text, and so its hash, say so."""
    source = data.locate(source)
    if not contract.accuracy:
        raise TinydigitsError(f"contract {contract.name}", "asks for no accuracy, so there is no data set to replace")
    group = {
        key: value | {"source": source} if isinstance(value, dict) else value
        for key, value in contract.accuracy.items()
    }
    if not all(isinstance(value, dict) for value in group.values()):  # else only checks within the group are asked
        group["source"] = source
    if group == contract.accuracy:
        return contract
    name = f"{contract.name} on {source_alias(source)}"
    return Contract.model_validate(contract.model_dump(exclude_defaults=True) | {"name": name, "accuracy": group})


def _output(subject: Subject) -> str | None:
    with foreign_code(f"model {subject.name}", "when it is called"):
        try:
            return subject.output
        except Exception:  # a model that a check has found to fail
            return None


def _must_answer_in_rows(subject: Subject) -> None:
    with foreign_code(f"model {subject.name}", "when it is called"), subject.borrow() as model, torch.no_grad():
        images_BCHW = subject.images(2)
        try:
            shape = tuple(checks.logits_of(model, images_BCHW).shape)
        except Exception as error:  # the model's own code
            raise TinydigitsError(
                f"model {subject.name}",
                f"fails on input of shape {tuple(images_BCHW.shape)}: {type(error).__name__}: {error}",
                hint="--input 3x32x32 for a model that takes another shape",
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
