"""Every check of a contract, put to a target.

What weights cannot tell (epochs, memory of the training) comes from the run's record, and its finding says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinydigits import checks, contract, data, machine
from tinydigits.checks import Check, Limits, Subject
from tinydigits.contract import Contract
from tinydigits.data import ImageSet
from tinydigits.errors import TinydigitsError, foreign_code
from tinydigits.evaluate import Evaluation
from tinydigits.run import Run, at_latest, open_run
from tinydigits.text import source_alias
from tinydigits.train import limit_threads
from tinydigits.verdict import Finding, JudgedContract, JudgedData, Verdict
from tinydigits.verify import targets
from tinydigits.verify.retrain import Retraining, contract_of, retrain
from tinydigits.verify.targets import Asked, InputSaid, Target

__all__ = ["Case", "prepare", "verify"]

_NOTHING_SAID = InputSaid()


@dataclass(frozen=True)
class Case:
    """A target and a contract brought together, with the checks that are asked, none of them put yet.

    >>> case = prepare("two-conv", Contract(name="small", model={"parameters": {"max": 25_000}}))
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
        return Verdict(
            target=self.target.facts.model_copy(update={"output": _output(subject)}),
            contract=JudgedContract(name=self.contract.name, sha256=self.contract.sha256, text=self.contract.text),
            data=evaluated, findings=tuple(findings), verified_at=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            seconds=seconds, device=subject.device, threads=threads, machine=machine.describe_machine(),
            versions=machine.describe_versions(),
        )  # fmt: skip


def verify(
    target: str | Path | nn.Module | None = None,
    contract_name: str | Path | Contract | None = None,
    *,
    weights: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    model: str | None = None,
    said: InputSaid = _NOTHING_SAID,
    out: str | Path = "runs",
    source: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    retraining: Retraining | None = None,
    on_training: Callable[[str], None] = lambda what: None,
    on_finding: Callable[[Finding], None] = lambda finding: None,
) -> Verdict:
    """Put every check of a contract to a run or to any other classifier; writes nothing, and changes nothing in it.

    >>> verdict = verify("two-conv", Contract(name="small", model={"parameters": {"max": 25_000}}))
    >>> verdict.word, verdict.findings[0].measured
    ('holds', '13,242')

    `target` is a run's folder (None: the latest in `out`), a registered model, `file.py:Class` or
    `package.module:Class`, a file of weights that says what model it belongs to, a `.pt2`, an `.onnx`, or a module. A
    class is built with `options`, and has the `weights` of a file or fresh ones. `model` names the class that a run, or
    a file of weights, is built by: for code that was not named yet, or has changed since it was trained. `said` tells
    how the model takes its images; else the target itself does, or the contract, or MNIST's usual input is assumed.

    The contract is that of the run's recipe unless one is named. Accuracy is measured on the data set that the contract
    names, else on the one that the model was trained on; with a shipped contract that the recipe alone names, always on
    the latter. `source` comes before all of these. With `retraining` the target is first trained anew, under the
    contract's budget and in a process that refuses known files of test images; the outcome is judged.

    Raises TinydigitsError when the question is malformed: no such target, no such contract, a key that no check has, a
    run without weights, code that the user has not named, a model that cannot be built or does not answer in one row of
    classes, a training that fails.
    """
    case = prepare(
        target, contract_name, weights=weights, options=options, model=model, said=said, out=out, source=source,
        device=device, threads=threads, retraining=retraining, on_training=on_training,
    )  # fmt: skip
    return case.judge(on_finding)


def prepare(
    target: str | Path | nn.Module | None = None,
    contract_name: str | Path | Contract | None = None,
    *,
    weights: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    model: str | None = None,
    said: InputSaid = _NOTHING_SAID,
    out: str | Path = "runs",
    source: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    retraining: Retraining | None = None,
    on_training: Callable[[str], None] = lambda what: None,
) -> Case:
    """Find the target and the contract of `verify`, for a caller that puts the checks one by one.

    The arguments and the errors are those of `verify`.
    """
    started = time.perf_counter()
    with limit_threads(threads):
        asked = Asked(
            at_latest(target, out) if isinstance(target, str | Path) else target, Path(out), device,
            None if weights is None else Path(at_latest(weights, out)), options or {}, model,
        )  # fmt: skip
        found = None if retraining else targets.find(asked)
        own_contract = found.contract if found else contract_of(asked, retraining)
        agreed = _find_contract(contract_name, own_contract, asked.text or "the target")
        if source is not None:
            agreed = _with_source(agreed, source)
        bound = checks.bind(agreed)
        was_retrained = found is None
        if found is None:
            assert retraining is not None
            found = retrain(asked, retraining, bound, source=source, threads=threads, on_training=on_training)
        if source is None and contract_name is None and own_contract in contract.names():
            agreed = _for_own_data(agreed, found.subject)
            bound = checks.bind(agreed)
        if was_retrained:
            bound = _asked_of_a_training(bound, found)
        subject = _with_data_at_hand(found.subject, bound)
        if subject.trained_on is not None:
            facts = found.facts.model_copy(update={"trained_on": subject.trained_on.source})
            found = replace(found, facts=facts)

        judged = found.run

        def open_baseline(name: str) -> Subject:
            opened = _baseline(name, asked, judged)
            return replace(opened, trained_on=None, load_images=subject.load)  # both are asked the same images

        subject = replace(subject, baseline=open_baseline)
        found = replace(found, subject=subject).as_told(said, _said_by(bound))
        if not any(check.name == "shapes.output" for check, _ in bound):
            _must_answer_in_rows(found.subject)
        return Case(found, agreed, tuple(bound), threads, started)


def _baseline(name: str, asked: Asked, judged: Run | None) -> Subject:
    """What a contract compares with; the code that the user named stands for a run of the same code, too."""
    baseline = Asked(at_latest(name, asked.out), asked.out, asked.device)
    if asked.model is not None and judged is not None and baseline.is_folder:
        is_same = open_run(baseline.text, asked.out).record.code_sha256 == judged.record.code_sha256
        baseline = replace(baseline, model=asked.model if is_same else None)
    return targets.find(baseline).as_told().subject


def _said_by(asked: Sequence[tuple[Check, Limits]]) -> InputSaid:
    """What a contract says of the model's input, in the limits of the checks of shapes."""
    limits = {check.name: bound for check, bound in asked}
    said: dict[str, Any] = limits["shapes.input"].says() if "shapes.input" in limits else {}  # type: ignore[attr-defined]
    return InputSaid(**said, num_classes=getattr(limits.get("shapes.output"), "classes", None))


def _find_contract(named: str | Path | Contract | None, own: str | None, target: str) -> Contract:
    if isinstance(named, Contract):
        return named
    chosen = named if named is not None else own
    if chosen is None:
        raise TinydigitsError(target, "names no contract", hint="--contract under-25k")
    return contract.load(chosen)


def _asked_of_a_training(asked: list[tuple[Check, Limits]], found: Target) -> list[tuple[Check, Limits]]:
    """Every seed that was trained counts, and what was reached for comes to light, asked for or not."""
    leak, num_seeds = checks.get("training.no_test_images"), found.facts.seeds or 1
    result = [
        (check, limits.model_copy(update={"seeds": max(num_seeds, limits.seeds)}))  # type: ignore[attr-defined]
        if check.name == "accuracy" else (check, limits)
        for check, limits in asked
    ]  # fmt: skip
    if found.subject.training and found.subject.training.refused and leak not in [check for check, _ in asked]:
        result.append((leak, leak.limits()))
    return result


def _for_own_data(agreed: Contract, subject: Subject) -> Contract:
    """The contract that a recipe brings along, of a run that was trained on another data set than the recipe's own.

    A shipped contract means its recipe's data. Whoever trains that recipe on a folder wants to know the same of the
    folder's test images; who wants the contract as it stands names it.
    """
    if subject.trained_on is None or _named_sources(checks.bind(agreed)) <= {subject.trained_on.source}:
        return agreed
    own = _with_source(agreed, subject.trained_on.source)
    output = own.shapes.get("output")
    if subject.classes and isinstance(output, dict) and "classes" in output:
        shapes = own.shapes | {"output": output | {"classes": len(subject.classes)}}
        own = Contract.model_validate(own.model_dump(exclude_defaults=True) | {"shapes": shapes})
    return own


def _with_data_at_hand(subject: Subject, bound: Sequence[tuple[Check, Limits]]) -> Subject:
    """Where the images that it was trained on are asked about under another path than then, they are there now."""
    own = subject.trained_on
    if own is None or not own.train_sha256:
        return subject
    for source in sorted(_named_sources(bound) - {own.source}):
        with suppress(TinydigitsError):  # that it cannot be read, the check itself will say
            if subject.load_images(source, "train").sha256 == own.train_sha256:
                return replace(subject, trained_on=replace(own, source=source))
    return subject


def _named_sources(bound: Sequence[tuple[Check, Limits]]) -> set[str]:
    named = {getattr(limits, "source", None) for _, limits in bound}
    return {data.locate(source) for source in named if source is not None}


def _with_source(agreed: Contract, source: str) -> Contract:
    """The same contract on other images; its name and its text, and so its hash, say so."""
    source = data.locate(source)
    if not agreed.accuracy:
        raise TinydigitsError(f"contract {agreed.name}", "asks for no accuracy, so there is no data set to replace")
    group = {
        key: value | {"source": source} if isinstance(value, dict) else value for key, value in agreed.accuracy.items()
    }
    if not all(isinstance(value, dict) for value in group.values()):  # else only checks within the group are asked
        group["source"] = source
    if group == agreed.accuracy:
        return agreed
    name = f"{agreed.name} on {source_alias(source)}"
    return Contract.model_validate(agreed.model_dump(exclude_defaults=True) | {"name": name, "accuracy": group})


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
