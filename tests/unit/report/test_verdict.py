"""A verdict's formats: what each says, how each escapes, and that none needs more than verdict.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.conftest import HOSTILE
from tests.end_to_end.github_runner import commands_of
from tinydigits.errors import TinydigitsError, printable
from tinydigits.report import formats, load_verdict, render
from tinydigits.report.verdict import badge

NASTY = 'a|b <c> & "d"\x00 50 %\nnext, line: end'


def finding(check: str, status: str = "pass", **facts: Any) -> dict[str, Any]:
    return {"check": check, "status": status, "measured": "", "limit": "", "why": "", "details": {}, **facts}


def verdict(*findings: dict[str, Any], word: str = "does not hold", **target: Any) -> dict[str, Any]:
    return {
        "verdict": word,
        "target": {"name": "net", "model": "net"} | target,
        "contract": {"name": "small", "sha256": "0"},
        "findings": list(findings),
        "seconds": 1.5,
        "verified_at": "2026-01-02T03:04:05+0100",
    }


PARAMETERS = finding("model.parameters", measured="98", limit="at most 99", value=98)
TOO_MANY = PARAMETERS | {"status": "fail", "measured": "110", "value": 110, "why": "most in 0", "advice": "Prune 0."}
UNDECIDED = finding("accuracy", "undecided", measured="99.42 %", value=99.42, why=NASTY, advice="Ask more images.")
NOT_RUN = finding("training.epochs", "not run", why="no record", advice="Train it.")
MIXED = verdict(TOO_MANY, UNDECIDED, NOT_RUN, finding("behaviour.finite"))


@pytest.mark.parametrize("name", formats())
def test_every_format_renders_every_word_alone_and_after_another_verdict(name: str) -> None:
    for word in ("holds", "does not hold", "undecided"):
        tree = verdict(PARAMETERS, UNDECIDED, word=word)
        assert render(name, tree) == render(name, tree)
        assert isinstance(render(name, tree, MIXED), str)


def test_json_is_the_verdict_itself() -> None:
    assert json.loads(render("json", MIXED)) == MIXED


def test_junit_has_a_case_for_each_check_and_a_failure_for_each_that_does_not_pass() -> None:
    root = ElementTree.fromstring(render("junit", MIXED))
    suite = root[0]
    assert [case.get("name") for case in suite] == [found["check"] for found in MIXED["findings"]]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "3", "0")
    failures = {case.get("name"): case.find("failure") for case in suite}
    assert failures["behaviour.finite"] is None
    assert failures["model.parameters"].get("message") == "fail: 110, limit: at most 99. Prune 0."  # type: ignore[union-attr]
    assert failures["training.epochs"].get("type") == "not run"  # type: ignore[union-attr]
    assert 'a|b <c> & "d"\\x00 50 %\\nnext, line: end' in failures["accuracy"].text  # type: ignore[union-attr,operator]
    assert suite.get("timestamp") == "2026-01-02T03:04:05"


def test_markdown_keeps_cells_whole_and_says_what_to_do() -> None:
    text = render("markdown", MIXED)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(MIXED["findings"])
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
    assert "| model.parameters | 110 | at most 99 | **fail** | most in 0 |" in rows
    assert "- **model.parameters**: Prune 0." in text and "1 pass, 1 fail, 1 undecided, 1 not run." in text
    assert "What to do" not in render("markdown", verdict(PARAMETERS, word="holds"))


def test_markdown_shows_what_changed_since_an_earlier_verdict() -> None:
    before = verdict(PARAMETERS, UNDECIDED | {"value": 99.4, "measured": "99.40 %"}, finding("latency"), word="holds")
    before["contract"] = {"name": "small", "sha256": "1"}
    text = render("markdown", MIXED, before)
    assert "| model.parameters | 110 | 98 (+12), pass | at most 99 | **fail** |" in text
    assert "| 99.42 % | 99.40 % (+0.02) |" in text
    assert "| training.epochs |  | not asked |" in text
    assert "No longer asked: latency." in text and "The contract is not the one of the verdict before." in text
    assert "The contract is not" not in render("markdown", MIXED, MIXED)


def test_annotations_are_escaped_as_github_reads_them_and_absent_where_the_verdict_holds() -> None:
    lines = render("annotations", MIXED).splitlines()
    assert len(lines) == 3
    assert (
        lines[0] == "::error title=tinydigits%3A model.parameters::fail: 110, limit: at most 99%0Amost in 0%0APrune 0."
    )
    assert "50 %25\\nnext, line: end%0AAsk" in lines[1]
    assert render("annotations", verdict(PARAMETERS, word="holds")) == ""


def test_annotations_stand_beside_the_file_of_the_model() -> None:
    text = render("annotations", verdict(TOO_MANY, model="a,b/net.py:Net"))
    assert text.startswith("::error file=a%2Cb/net.py,title=")


def test_the_badge_is_plain_svg_whose_words_fit_and_whose_name_is_escaped() -> None:
    tree = verdict(PARAMETERS, finding("accuracy", value=99.4), word="holds")
    tree["contract"]["name"] = 'a<b>&"c"'
    root = ElementTree.fromstring(render("badge", tree))
    svg = "{http://www.w3.org/2000/svg}"
    label, message = root.iter(f"{svg}text")
    assert (label.text, message.text) == ('a<b>&"c"', "holds, 98 parameters, 99.40 %")
    width = int(root.get("width", ""))
    assert float(message.get("x", "")) + float(message.get("textLength", "")) < width
    assert float(label.get("x", "")) + float(label.get("textLength", "")) < float(message.get("x", ""))
    assert root.get("aria-label") == 'net against a<b>&"c": holds (2 pass)'
    assert {element.tag.removeprefix(svg) for element in root.iter()} <= {
        "svg",
        "title",
        "clipPath",
        "rect",
        "g",
        "text",
    }


@pytest.mark.parametrize("ground", [badge.LABEL_GROUND, *badge.GROUND.values()])
def test_the_badges_letters_stand_out_from_their_ground(ground: str) -> None:
    """White on it reaches WCAG's 4.5 : 1, and on a dark page its own ground is still seen."""
    parts = [int(ground[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    luminance = sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_unknown_formats_and_files_that_are_no_verdict_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TinydigitsError, match=r"unknown format 'junt'[^\n]*\n  try: junit"):
        render("junt", MIXED)
    path = tmp_path / "verdict.json"
    halves = (MIXED | {"findings": [PARAMETERS | {"details": {"correct": 1}}]}, MIXED | {"data": [{"split": "test"}]})
    for content, says in (
        ("{", "not JSON"), ("[]", "is no verdict"), ('{"verdict": 1}', "is no verdict"),
        (json.dumps(halves[0]), "is no verdict, or damaged: findings.0.details: correct and no more seen"),
        (json.dumps(halves[1]), "is no verdict, or damaged: data.0.source: Field required"),
    ):  # fmt: skip
        path.write_text(content, encoding="utf-8")
        with pytest.raises(TinydigitsError, match=says):
            load_verdict(path)
    path.write_text(json.dumps(MIXED), encoding="utf-8")
    assert load_verdict(path) == MIXED | {"findings": [*MIXED["findings"][:1], UNDECIDED | {"why": printable(NASTY)},
                                                       *MIXED["findings"][2:]]}  # fmt: skip


@pytest.mark.parametrize("name", formats())
def test_what_strangers_named_stays_text_in_every_format(name: str) -> None:
    found = finding("model.layers", "fail", **dict.fromkeys(("measured", "limit", "why", "advice"), HOSTILE))
    tree = verdict(found, name=HOSTILE, model=f"{HOSTILE}.py:Net", weights_sha256=HOSTILE) | {
        "contract": {"name": HOSTILE, "sha256": "0"}, "versions": {HOSTILE: HOSTILE},
        "data": [{"source": HOSTILE, "split": "test", "num_images": 1}],
    }  # fmt: skip
    text = render(name, tree, tree)
    assert not [letter for letter in text if letter != "\n" and printable(letter) != letter]
    if name == "json":
        assert json.loads(text) == tree
    if name in ("badge", "junit"):
        words = "".join(ElementTree.fromstring(text).itertext())  # raises where it is no XML
        assert "<script>alert(1)</script>" in words or name == "badge"
    if name == "annotations":
        ((command, properties, message),) = commands_of(text)
        plain = printable(HOSTILE)
        assert command == "error" and message == f"fail: {plain}, limit: {plain}\n{plain}\n{plain}"
        assert properties == {"file": f"{plain}.py", "title": "tinydigits: model.layers"}
    if name == "markdown":
        assert [line[:12] for line in text.splitlines() if line][:2] == ['### "x: hold', "1 fail."]
        rows = [line for line in text.splitlines() if line.startswith("| ")]
        assert len(rows) == 3 and len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows}) == 1
        assert "<" not in text and "](" not in text and not re.search(r"(?<!\\)\*\*b", text)
