"""Verdicts: what every check of a contract measured, and what exactly was judged; a document, written and read.

This module knows nothing of torch, nor of how a finding comes about.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, model_serializer, model_validator
from pydantic.dataclasses import dataclass

from tinydigits.documents import load_document
from tinydigits.errors import printable
from tinydigits.escape import quoted

__all__ = [
    "FORMAT", "Counted", "Finding", "JudgedContract", "JudgedData", "JudgedTarget", "Status", "Verdict", "code_note",
    "load",
]  # fmt: skip

FORMAT = 2
"""Of what is written now. Format 1, which may lack some facts about the target, is read as well."""

Status = Literal["pass", "fail", "undecided", "not run"]
_STATUSES: tuple[Status, ...] = ("pass", "fail", "undecided", "not run")


def _counts_fit(details: dict[str, Any]) -> dict[str, Any]:
    correct, seen = details.get("correct", 0), details.get("seen", 0)
    if not (isinstance(correct, int) and isinstance(seen, int) and 0 <= correct <= seen):
        raise ValueError("`correct` of `seen` images, two whole numbers")
    if not isinstance(details.get("data_sha256", ""), str):
        raise ValueError("`data_sha256`, a string")
    try:
        float(details.get("calibration_error") or 0)
    except TypeError as error:
        raise ValueError("`calibration_error`, a number") from error
    return details


_Text = Annotated[str, AfterValidator(printable)]
_Details = Annotated[dict[str, Any], AfterValidator(_counts_fit)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Finding:
    """One check's result.

    >>> Finding.judge("model.parameters", 9_274 < 20_000, measured="9,274", limit="at most 19,999").status
    'pass'

    `measured`, `limit` and `why` are for people; `details` has the same as numbers, for JSON. `value` is the measured
    number where there is one, so that two verdicts can be compared. `advice` says what to do where it does not pass.
    These texts are made `printable`: they name what strangers named, and hold their exceptions' messages.
    """

    check: _Text
    status: Status
    measured: _Text = ""
    limit: _Text = ""
    why: _Text = ""
    details: _Details = Field(default_factory=dict)
    value: int | float | None = None
    advice: _Text = ""

    @classmethod
    def judge(
        cls,
        check: str,
        holds: bool,
        *,
        measured: str,
        limit: str = "",
        why: str = "",
        details: dict[str, Any] | None = None,
        value: float | None = None,
        advice: str = "",
    ) -> Finding:
        """Pass when it holds, fail, with the advice, when it does not."""
        status: Status = "pass" if holds else "fail"
        return cls(check, status, measured, limit, why, details or {}, value, "" if holds else advice)

    @classmethod
    def not_run(cls, check: str, why: str, *, limit: str = "", advice: str = "") -> Finding:
        """The question could not be put, and why."""
        return cls(check, "not run", "", limit, why, advice=advice)

    @property
    def sentence(self) -> str:
        """Status, measured and limit on one line.

        >>> Finding("model.parameters", "fail", "98", "at most 97").sentence
        'fail: 98, limit: at most 97'
        """
        figures = ", ".join(filter(None, [self.measured, self.limit and f"limit: {self.limit}"]))
        return f"{self.status}: {figures}"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, revalidate_instances="always")


class JudgedTarget(_Part):
    """What was judged: a run, a shipped model, a class, a file. Which facts there are depends on its `kind`.

    `input_origins` names, for each fact about the input, where it comes from: the command line, the target, the
    contract, nobody. `code_differs` has the files whose code is not the run's own; None where that is not known.
    """

    kind: _Text
    name: _Text
    model: _Text | None = None
    code_differs: tuple[_Text, ...] | None = ()
    options: dict[str, Any] = {}
    recipe: _Text | None = None
    weights_file: _Text | None = None
    weights_sha256: _Text | None = None
    trained_on: _Text | None = None
    trained_by: _Text | None = None
    retrained: bool = False
    seed: int | None = None
    seeds: int | None = None
    budget_spent: bool | None = None
    test_time_shift_pixels: int = 0
    input_shape: tuple[int, ...] | None = None
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    resize: bool = False
    num_classes: int | None = None
    input_origins: dict[str, str] = Field(default={}, validation_alias=AliasChoices("input_origins", "input_said_by"))
    output: _Text | None = None

    @property
    def code_note(self) -> str:
        """A sentence where the code that was judged is not known to be the run's own, else empty."""
        return code_note(self.code_differs)


class JudgedContract(_Part):
    """The contract, word for word."""

    name: _Text
    sha256: str
    text: str


class JudgedData(_Part):
    """A set of images that the model was evaluated on."""

    source: _Text
    split: _Text
    num_images: int
    sha256: _Text


class Counted(NamedTuple):
    """Right answers, counted by a check over a whole set of images."""

    check: str
    data: JudgedData
    correct: int
    seen: int


class Verdict(_Part):
    """All findings, and what exactly they are about.

    >>> contract = JudgedContract(name="small", sha256="ab", text="")
    >>> finding = Finding("model.parameters", "pass", "98", "at most 99")
    >>> verdict = Verdict(target=JudgedTarget(kind="model", name="net"), contract=contract, findings=(finding,))
    >>> verdict.headline, verdict.summary, verdict.exit_code
    ('net against small: holds', '1 pass', 0)

    `verified_at` is an ISO 8601 time, `seconds` how long it took.
    """

    format: int = FORMAT
    target: JudgedTarget
    contract: JudgedContract
    data: tuple[JudgedData, ...] = ()
    findings: tuple[Finding, ...] = Field(min_length=1)
    verified_at: _Text = ""
    seconds: float = 0.0
    device: _Text = "cpu"
    threads: int = 1
    machine: dict[str, Any] = {}
    versions: dict[str, str] = {}

    @model_validator(mode="wrap")
    @classmethod
    def _agrees_with_its_findings(cls, tree: Any, validate: Any) -> Verdict:
        # A file states its outcome for readers who take nothing else from it; one that was edited is damaged.
        if not isinstance(tree, dict):
            return validate(tree)
        stated = {key: value for key, value in tree.items() if key in ("verdict", "exit_code")}
        verdict: Verdict = validate({key: value for key, value in tree.items() if key not in stated})
        if stated.items() - {"verdict": verdict.word, "exit_code": verdict.exit_code}.items():
            raise ValueError(f"the verdict {verdict.word!r}, which its findings give")
        return verdict

    @property
    def word(self) -> Literal["holds", "does not hold", "undecided"]:
        """The outcome: it holds where every check passes; what is undecided or was not run does not hold."""
        statuses = {finding.status for finding in self.findings}
        if "fail" in statuses:
            return "does not hold"
        return "holds" if statuses == {"pass"} else "undecided"

    @property
    def exit_code(self) -> int:
        """0 where it holds, else 1."""
        return 0 if self.word == "holds" else 1

    @property
    def headline(self) -> str:
        """Which target, which contract, and the word; one of several words is quoted, since it could say anything."""
        return f"{quoted(self.target.name)} against {quoted(self.contract.name)}: {self.word}"

    @property
    def summary(self) -> str:
        """How many findings there are of each status."""
        statuses = [finding.status for finding in self.findings]
        return ", ".join(f"{statuses.count(status)} {status}" for status in _STATUSES if status in statuses)

    @property
    def not_passed(self) -> list[Finding]:
        """The findings that keep it from holding: what is undecided or was not run does not hold either."""
        return [finding for finding in self.findings if finding.status != "pass"]

    @property
    def test_data(self) -> JudgedData | None:
        """The first test set that the model was evaluated on, None where there was none."""
        return next((data for data in self.data if data.split == "test"), None)

    def counted(self) -> Iterator[Counted]:
        """Every count of right answers that is of a whole set."""
        sets = {data.sha256: data for data in self.data}
        for finding in self.findings:
            details = finding.details
            data = sets.get(details.get("data_sha256", ""))
            if data is not None and "correct" in details and details["seen"]:
                yield Counted(finding.check, data, details["correct"], details["seen"])

    @property
    def test_counts(self) -> tuple[int, int] | None:
        """Right answers and number of images of the whole test split of the data set that the model was trained on."""
        for count in self.counted():
            own = self.target.trained_on in (None, count.data.source)
            if count.check == "accuracy" and count.data.split == "test" and own:
                return count.correct, count.seen
        return None

    @property
    def calibration_error(self) -> float | None:
        """The expected calibration error that the check of accuracy measured, where it did."""
        errors = (finding.details.get("calibration_error") for finding in self.findings if finding.check == "accuracy")
        error = next(errors, None)
        return None if error is None else float(error)

    @model_serializer(mode="wrap")
    def _with_its_outcome(self, dump: Any) -> dict[str, Any]:
        tree = dump(self)
        stated = {"format": tree.pop("format"), "verdict": self.word, "exit_code": self.exit_code}
        plain: dict[str, Any] = _plain(stated | tree)
        return plain

    def to_json(self) -> str:
        """The document as text; numbers that JSON does not know (NaN, infinity) become strings."""
        return json.dumps(self.model_dump(), indent=2, allow_nan=False) + "\n"


def load(path: str | Path) -> Verdict:
    """The verdict in a file that `tinydigits verify --json` wrote, or that a run has.

    >>> load("nowhere.json")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: verdict nowhere.json: no such file
      try: tinydigits verify --json nowhere.json

    Raises TinydigitsError where it is missing, damaged, of a newer version or no verdict at all.
    """
    return load_document(Path(path), Verdict, newest=FORMAT, hint=f"tinydigits verify --json {path}", as_written=True)


def code_note(changed: Sequence[str] | None) -> str:
    """What is said of code that is not known to be the run's own: of files that changed, or None where nobody knows.

    >>> code_note(["model.py", "blocks.py"]), code_note([])
    ("code differs from the run's: model.py, blocks.py", '')
    """
    if changed is None:
        return "whether the code is the run's is not known: its hash was not recorded"
    return f"code differs from the run's: {', '.join(map(printable, changed))}" if changed else ""


def _plain(value: Any) -> Any:
    """Only what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
