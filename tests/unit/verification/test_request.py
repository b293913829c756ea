"""A request is a message: what goes out as JSON comes back as the same, and is judged alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tinydigits import checks, contract
from tinydigits.contract import Contract
from tinydigits.verification import InputFacts, Request, Retraining, prepare, verify

SMALL = Contract(name="small", model={"parameters": {"max": 25_000}}, behaviour={"finite": True})


def sent(request: Request) -> Request:
    return Request.model_validate_json(request.model_dump_json())


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(target=Path("runs/latest"), contract="under-25k", runs=Path("mine"), data="./letters"),
        Request(
            target="net.py:Net", contract=SMALL, weights="w.pth", options={"width": 8, "norm": {"eps": 0.1}},
            model="net.py:Other", device="cuda", threads=2,
            input=InputFacts(input_shape=(3, 32, 32), mean=(0.1, 0.2, 0.3), std=0.5, resize=True, num_classes=7),
            retraining=Retraining(recipe="digits", function="how.py:train", seeds=3),
        ),
    ],
)  # fmt: skip
def test_every_field_survives_the_way_through_json(request_: Request) -> None:
    assert sent(request_) == request_
    assert set(request_.model_dump(mode="json")) == set(Request.model_fields)


def test_a_contract_keeps_its_text_and_so_its_hash(tmp_path: Path) -> None:
    """Also one that asks for a check by an empty table, and for one whose file has comments."""
    (tmp_path / "mine.toml").write_text("# of ours\n[accuracy]\n[model]\nparameters = { max = 20_000 }\n", "utf-8")
    for document in (SMALL, contract.load(tmp_path / "mine.toml"), contract.load("gap-cnn")):
        after = sent(Request(contract=document)).contract
        assert isinstance(after, Contract) and (after.text, after.sha256) == (document.text, document.sha256)
        assert after.limits(checks.names()) == document.limits(checks.names())


def test_a_request_that_was_sent_is_judged_as_the_one_that_was_not() -> None:
    request = Request(target="two-conv", contract=SMALL, options={"dropout": 0.25}, threads=1)
    here, there = verify(request), verify(sent(request))
    assert here.findings == there.findings and here.target == there.target and here.contract == there.contract
    assert prepare(sent(request)).target.facts.options == {"dropout": 0.25}


def test_a_field_that_no_request_has_is_refused() -> None:
    with pytest.raises(ValidationError, match="source"):
        Request.model_validate({"target": "two-conv", "source": "digits"})
