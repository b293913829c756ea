"""The corpus of bad and of honest models: puts each to its checks, and keeps how many were rejected and accepted.

The models are in tests/corpus/, a file for each kind. A file of `bad/` has `CASES`: what makes the model (or the whole
subject), the limits it is put to, what the finding must say, the check, and facts of the subject; the check is the
file's `CHECK` where a case names none. A file of `honest/` has what makes the model and the whole contract.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from benchmarks.protocol import RESULTS, ROOT, read_rows, write_rows
from benchmarks.provenance import sentence, stamp
from tinydigits import checks
from tinydigits.checks import Subject
from tinydigits.report.text import table
from tinydigits.trace import graph_bytes, materialised, own_backward_passes
from tinydigits.verdict import Finding
from tinydigits.verification.graphs import read_graphs

__all__ = ["FILE", "Bad", "Honest", "bad", "count", "handed_over", "honest"]

CORPUS = ROOT / "tests" / "corpus"
FILE = RESULTS / "corpus.json"


@dataclass(frozen=True)
class Bad:
    """A model that one check must fail, with words that its finding must say."""

    make: Any
    limits: dict[str, Any]
    says: str
    check: str
    facts: dict[str, Any] = field(default_factory=dict)

    def put(self) -> Finding:
        return checks.run(checks.get(self.check), _subject(self.make, self.facts), self.limits)

    def is_rejected(self, finding: Finding) -> bool:
        return finding.status == "fail" and self.says in f"{finding.measured} {finding.why}"


@dataclass(frozen=True)
class Honest:
    """A model that every check of its contract must pass."""

    make: Any
    contract: dict[str, dict[str, Any]]
    facts: dict[str, Any] = field(default_factory=dict)

    def put(self, *, as_graph: bool = False) -> list[Finding]:
        """The findings of its contract; `as_graph` puts the checks to its graph, as to a stranger's model."""
        subject = _subject(self.make, self.facts)
        subject = handed_over(subject) if as_graph else subject
        return [checks.run(checks.get(name), subject, limits) for name, limits in self.contract.items()]


def bad() -> list[Bad]:
    """Every bad model, in the order of the files."""
    found = []
    for module in _modules("bad"):
        for make, limits, says, *rest in module.CASES:
            check, facts = [*rest, None, None][:2]
            found.append(Bad(make, limits, says, check or module.CHECK, facts or {}))
    return found


def honest() -> list[Honest]:
    """Every honest model, in the order of the files."""
    return [Honest(*case) for module in _modules("honest") for case in module.CASES]


def handed_over(subject: Subject) -> Subject:
    """The graphs of a subject's model, as its worker would give them, with the model itself beside them."""
    shape = tuple(subject.input_shape)
    net = materialised(subject.model, shape)
    graph = read_graphs(graph_bytes(net, shape), graph_bytes(net, shape, train=True))
    own = own_backward_passes(copy.deepcopy(net), shape)
    net.eval()

    def answers(images_BCHW: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        with torch.no_grad():
            return checks.logits_of(net, images_BCHW)

    lacks = dict(subject.lacks) | ({"gradients": "its backward pass is its own"} if own else {})
    return replace(subject, model=graph, lacks=lacks, own_answers=answers)


@cache
def _modules(folder: str) -> tuple[ModuleType, ...]:
    names = sorted(path.stem for path in (CORPUS / folder).glob("*.py"))
    # By names that another process can import too: what latency and memory are measured in.
    return tuple(importlib.import_module(f"tests.corpus.{folder}.{name}") for name in names)


def _subject(make: Any, facts: dict[str, Any]) -> Subject:
    torch.manual_seed(0)
    made = make()
    if isinstance(made, Subject):
        return made
    return Subject(made, **({"name": make.__name__, "input_shape": (1, 8, 8)} | facts))


def count() -> dict[str, dict[str, int]]:
    """How many cases there are: bad ones for each check, honest ones for each check of their contracts, and in all."""
    return {
        "bad": dict(sorted(Counter(case.check for case in bad()).items())),
        "honest": dict(sorted(Counter(name for case in honest() for name in case.contract).items())),
        "in all": {"bad": len(bad()), "honest": len(honest())},
    }


def measure() -> None:
    """Count what is rejected and accepted; about a minute."""
    counted = count()
    rejected = Counter(case.check for case in _progress(bad()) if case.is_rejected(case.put()))
    passed: Counter[str] = Counter()
    accepted = 0
    for honest_case in _progress(honest()):
        findings = honest_case.put()
        passed.update(finding.check for finding in findings if finding.status == "pass")
        accepted += all(finding.status == "pass" for finding in findings)
    results = {
        **stamp(files=["tests/corpus/bad", "tests/corpus/honest"]),
        "bad": {name: {"put": put, "rejected": rejected[name]} for name, put in counted["bad"].items()},
        "honest": {name: {"put": put, "accepted": passed[name]} for name, put in counted["honest"].items()},
        "in all": {
            "bad": {"put": counted["in all"]["bad"], "rejected": rejected.total()},
            "honest": {"put": counted["in all"]["honest"], "accepted": accepted},
        },
    }
    write_rows(FILE, results)
    print(f"{results['in all']}\nnext: make docs")


def part() -> str:
    """The part of docs/contract.md: what was counted, check by check."""
    results = read_rows(FILE)
    bad, honest = results["in all"]["bad"], results["in all"]["honest"]
    cells = []
    for name in checks.names():
        put, passed = results["bad"].get(name), results["honest"].get(name)
        rejected = f"{put['rejected']} of {put['put']}" if put else ""
        cells.append([f"`{name}`", rejected, f"{passed['accepted']} of {passed['put']}" if passed else ""])
    return "\n\n".join([
        f"Bad: {bad['rejected']} of {bad['put']} rejected, each by the check that is meant to and for its reason.\n"
        f"Honest: {honest['accepted']} of {honest['put']} accepted, each by every check of its contract.\n"
        + sentence(results),
        table(["check", "bad ones rejected", "honest ones accepted"], cells),
    ])  # fmt: skip


def _progress(cases: list[Any]) -> Iterator[Any]:
    for number, case in enumerate(cases, 1):
        print(f"\r{number} of {len(cases)}", end="", file=sys.stderr, flush=True)
        yield case
    print(file=sys.stderr)


COMMANDS = (measure,)
