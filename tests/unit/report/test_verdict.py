"""A verdict's formats: what each says, how each escapes, and that none needs more than verdict.json."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from tests.conftest import HOSTILE
from tests.end_to_end.github_runner import commands_of
from tinydigits.cli.main import app
from tinydigits.errors import TinydigitsError, printable
from tinydigits.report import formats, render
from tinydigits.report.verdict import badge
from tinydigits.run import Run
from tinydigits.verdict import Finding, JudgedContract, JudgedData, JudgedTarget, Verdict, load

NASTY = 'a|b <c> & "d"\x00 50 %\nnext, line: end'


def verdict(*findings: Finding, contract: str = "small", sha256: str = "0", **target: Any) -> Verdict:
    return Verdict(
        target=JudgedTarget(**{"kind": "model", "name": "net", "model": "net"} | target),
        contract=JudgedContract(name=contract, sha256=sha256, text=""), findings=findings, seconds=1.5,
        verified_at="2026-01-02T03:04:05+0100",
    )  # fmt: skip


PARAMETERS = Finding("model.parameters", "pass", "98", "at most 99", value=98)
TOO_MANY = replace(PARAMETERS, status="fail", measured="110", value=110, why="most in 0", advice="Prune 0.")
UNDECIDED = Finding("accuracy", "undecided", "99.42 %", why=NASTY, value=99.42, advice="Ask more images.")
NOT_RUN = Finding.not_run("training.epochs", "no record", advice="Train it.")
MIXED = verdict(TOO_MANY, UNDECIDED, NOT_RUN, Finding("behaviour.finite", "pass"))


@pytest.mark.parametrize("name", formats())
def test_every_format_renders_every_word_alone_and_after_another_verdict(name: str) -> None:
    for word, last in (("holds", PARAMETERS), ("does not hold", TOO_MANY), ("undecided", UNDECIDED)):
        document = verdict(PARAMETERS, last)
        assert document.word == word and document.exit_code == (word != "holds")
        assert render(name, document) == render(name, document)
        assert isinstance(render(name, document, MIXED), str)


def test_json_is_the_verdict_itself(tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text(render("json", MIXED), encoding="utf-8")
    assert load(tmp_path / "v.json") == MIXED


def test_junit_has_a_case_for_each_check_and_a_failure_for_each_that_does_not_pass() -> None:
    root = ElementTree.fromstring(render("junit", MIXED))
    suite = root[0]
    assert [case.get("name") for case in suite] == [finding.check for finding in MIXED.findings]
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
    assert len(rows) == 2 + len(MIXED.findings)
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)
    assert "| model.parameters | 110 | at most 99 | **fail** | most in 0 |" in rows
    assert "- **model.parameters**: Prune 0." in text and "1 pass, 1 fail, 1 undecided, 1 not run." in text
    assert "What to do" not in render("markdown", verdict(PARAMETERS))


def test_markdown_shows_what_changed_since_an_earlier_verdict() -> None:
    accuracy = replace(UNDECIDED, value=99.4, measured="99.40 %")
    before = verdict(PARAMETERS, accuracy, Finding("latency", "pass"), sha256="1")
    text = render("markdown", MIXED, before)
    assert "| model.parameters | 110 | 98 (+12), pass | at most 99 | **fail** |" in text
    assert "| 99.42 % | 99.40 % (+0.02) |" in text
    assert "| training.epochs |  | not checked |" in text
    assert "No longer checked: latency." in text and "The contract is not the one of the verdict before." in text
    assert "The contract is not" not in render("markdown", MIXED, MIXED)


def test_annotations_are_escaped_as_github_reads_them_and_absent_where_the_verdict_holds() -> None:
    lines = render("annotations", MIXED).splitlines()
    assert len(lines) == 3
    assert (
        lines[0] == "::error title=tinydigits%3A model.parameters::fail: 110, limit: at most 99%0Amost in 0%0APrune 0."
    )
    assert "50 %25\\nnext, line: end%0AAsk" in lines[1]
    assert render("annotations", verdict(PARAMETERS)) == ""


def test_annotations_stand_beside_the_file_of_the_model() -> None:
    text = render("annotations", verdict(TOO_MANY, model="a,b/net.py:Net"))
    assert text.startswith("::error file=a%2Cb/net.py,title=")


def test_the_badge_is_plain_svg_whose_words_fit_and_whose_name_is_escaped() -> None:
    document = verdict(PARAMETERS, Finding("accuracy", "pass", value=99.4), contract='a<b>&"c"')
    root = ElementTree.fromstring(render("badge", document))
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
    path, tree = tmp_path / "verdict.json", json.loads(MIXED.to_json())
    finding, data = tree["findings"][1], {"source": "mnist", "split": "test", "num_images": 9, "sha256": "ab"}
    for content, says in (
        ("{", "not JSON"), ("[]", "damaged: expected a valid dictionary"), ('{"verdict": 1}', "target: is required"),
        (tree | {"format": 3}, "newer version of tinydigits, got format 3, expected at most 2"),
        (tree | {"verdict": "holds"}, "expected the verdict 'does not hold', which its findings give"),
        (tree | {"findings": []}, "damaged: findings: "),
        (tree | {"findings": [finding | {"details": {"correct": 1}}]}, "findings.0.details: got .*, two whole numbers"),
        (tree | {"findings": [finding | {"status": "maybe"}]}, "findings.0.status: got 'maybe', expected 'pass', "),
        (tree | {"data": [data | {"source": None}]}, "damaged: data.0.source: got None"),
        (tree | {"data": [data | {"sha": ""}]}, "damaged: unknown key 'data.0.sha'"),
    ):  # fmt: skip
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        with pytest.raises(TinydigitsError, match=says) as caught:
            load(path)
        assert str(caught.value).startswith(f"verdict {path}: ")


def test_verdicts_of_format_1_are_read(tmp_path: Path) -> None:
    """They had no `input_origins`, and one who judged a model may have left out what is empty."""
    tree = json.loads(verdict(PARAMETERS, input_origins={"mean": "nobody"}).to_json()) | {"format": 1}
    target = {key: tree["target"][key] for key in ("kind", "name")} | {"input_said_by": {"mean": "nobody"}}
    finding = {key: tree["findings"][0][key] for key in ("check", "status", "measured", "limit", "why", "details")}
    (tmp_path / "v.json").write_text(json.dumps(tree | {"target": target, "findings": [finding]}), encoding="utf-8")
    document = load(tmp_path / "v.json")
    assert document.format == 1 and document.target.input_origins == {"mean": "nobody"}
    assert document.findings == (replace(PARAMETERS, value=None),)


@pytest.mark.parametrize("name", formats())
def test_what_strangers_named_stays_text_in_every_format(name: str) -> None:
    finding = Finding("model.layers", "fail", **dict.fromkeys(("measured", "limit", "why", "advice"), HOSTILE))
    document = verdict(
        finding, contract=HOSTILE, name=HOSTILE, model=f"{HOSTILE}.py:Net", weights_sha256=HOSTILE
    ).model_copy(update={
        "versions": {HOSTILE: HOSTILE},
        "data": (JudgedData(source=HOSTILE, split="test", num_images=1, sha256="0"),),
    })  # fmt: skip
    text = render(name, document, document)
    assert not [letter for letter in text if letter != "\n" and printable(letter) != letter]
    if name == "json":
        assert Verdict.model_validate_json(text) == document
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


@pytest.mark.parametrize(
    "words",
    ["report {run}", "report {run} --readme README.md", "runs show {run}", "runs diff {run} {run}", "export {run} card",
     "verify two-conv --contract two-conv --compare {run}/verdict.json"],
)  # fmt: skip
@pytest.mark.parametrize(("change", "says"), [({"format": 3}, "newer"), ({"findings": [1]}, "damaged: findings.0: ")])
def test_every_command_that_reads_a_verdict_refuses_a_damaged_and_a_newer_one(
    judged: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, change: dict[str, Any], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("README.md").write_text("<!-- tinydigits: verdict -->\n<!-- end -->\n", encoding="utf-8")
    tree = json.loads(judged.file("verdict.json").read_text(encoding="utf-8"))
    judged.write("verdict.json", json.dumps(tree | change))
    error = CliRunner().invoke(app, words.format(run=judged.folder).split()).exception
    assert isinstance(error, TinydigitsError), error  # for which `main` exits with 2
    assert re.match(f"verdict {judged.folder}/verdict.json: .*{says}", str(error))
