"""Bad models are rejected, each by the check that is meant to and for its reason; honest, unusual ones are accepted."""

from __future__ import annotations

import json

import pytest

from benchmarks.corpus import FILE, Bad, Honest, bad, count, honest
from tinydigits import checks


@pytest.mark.parametrize("case", [pytest.param(c, id=f"{c.check}-{c.make.__name__}-{n}") for n, c in enumerate(bad())])
def test_bad_model_is_rejected_for_its_reason(case: Bad) -> None:
    finding = case.put()
    assert finding.status == "fail", finding
    assert case.says in f"{finding.measured} {finding.why}", finding


@pytest.mark.parametrize("case", [pytest.param(c, id=c.make.__name__) for c in honest()])
def test_honest_model_is_accepted(case: Honest) -> None:
    assert [finding for finding in case.put() if finding.status != "pass"] == []


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
