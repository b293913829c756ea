"""Bad models are rejected, each by the check that is meant to and for its reason; honest, unusual ones are accepted."""

from __future__ import annotations

import json

import pytest

from benchmarks.corpus import FILE, Bad, Honest, bad, count, handed_over, honest
from tinydigits import checks, models
from tinydigits.checks import Subject


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.check}-{c.make.__name__}-{n}") for n, c in enumerate(bad())])
def test_bad_model_is_rejected_for_its_reason(case: Bad) -> None:
    finding = case.put()
    assert finding.status == "fail", finding
    assert case.says in f"{finding.measured} {finding.why}", finding


@pytest.mark.parametrize("case", [pytest.param(c, id=c.make.__name__) for c in honest()])
def test_honest_model_is_accepted(case: Honest) -> None:
    assert [finding for finding in case.put() if finding.status != "pass"] == []


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c.make.__name__) for c in honest() if c.make.__name__ != "Compiled"]
)
def test_an_honest_models_graph_is_accepted_too(case: Honest) -> None:
    """Of a stranger's model the graph is judged. The last one is scripted and has none; see test_worker.py."""
    left = {finding.check: finding.status for finding in case.put(as_graph=True) if finding.status != "pass"}
    by_hand = dict.fromkeys(("behaviour.gradients", "behaviour.train_step", "behaviour.overfit_batch"), "not run")
    assert left == (by_hand if case.make.__name__ == "Binary" else {})


@pytest.mark.parametrize("name", models.names())
def test_every_registered_model_answers_and_is_counted_as_its_graph(name: str) -> None:
    subject = Subject(models.build(name), name=name)
    graph = handed_over(subject)
    finding = checks.run(checks.get("model.graph"), graph, {"images": 64, "tolerance": 1e-5})
    assert finding.status == "pass", finding
    ours, theirs = graph.trace, subject.trace
    assert (ours.num_parameters, ours.macs) == (theirs.num_parameters, theirs.macs)
    silent = {"reshape": 0}  # a graph of any batch may write sizes out by other operations
    assert ours.kinds | silent == theirs.kinds | silent


def test_the_corpus_is_large_enough() -> None:
    counted = count()
    assert counted["in all"]["bad"] >= 60 and counted["in all"]["honest"] >= 30
    assert [name for name in checks.names() if counted["bad"].get(name, 0) < 2] == []


def test_the_published_counts_are_those_of_the_corpus() -> None:
    """Where this fails: python -m benchmarks corpus measure, then make docs."""
    results = json.loads(FILE.read_text(encoding="utf-8"))
    counted = count()
    for kind in counted:
        assert {name: found["put"] for name, found in results[kind].items()} == counted[kind]
        for name, found in results[kind].items():
            assert found.get("rejected", found.get("accepted")) == found["put"], name
