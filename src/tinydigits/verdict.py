"""Verdicts: what every check of a contract measured, and what exactly was judged; a document, written and read.

This module knows nothing of torch, nor of how a finding comes about.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_serializer, model_validator

from tinydigits.documents import load_document
from tinydigits.errors import printable
from tinydigits.escape import quoted
from tinydigits.finding import STATUSES, Finding, Findings, Status, Text
from tinydigits.table import Table

__all__ = [
    "FORMAT", "Counted", "Finding", "Findings", "JudgedContract", "JudgedData", "JudgedTarget", "Status", "Verdict",
    "code_note", "load",
]  # fmt: skip

FORMAT = 2
"""Of what is written now. Format 1, which may lack some facts about the target, is read as well."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, revalidate_instances="always")


class JudgedTarget(_Part):
    """What was judged: a run, a shipped model, a class, a file. Which facts there are depends on its `kind`.

    `input_origins` names, for each fact about the input, where it comes from: the command line, the target, the
    contract, nobody. `code_differs` has the files whose code is not the run's own; None where that is not known.
    `refused` is what the sandbox of a stranger's code was found to refuse it, None where no such code ran; `printed` is
    the beginning of what that code printed.
    """

    kind: Text
    name: Text
    model: Text | None = None
    code_differs: tuple[Text, ...] | None = ()
    options: dict[str, Any] = {}
    recipe: Text | None = None
    weights_file: Text | None = None
    weights_sha256: Text | None = None
    trained_on: Text | None = None
    trained_by: Text | None = None
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
    output: Text | None = None
    refused: tuple[Text, ...] | None = None
    printed: Text = ""

    @property
    def sandbox_note(self) -> str:
        """A sentence on the process in which a stranger's code ran, empty where none ran."""
        if self.refused is None:
            return "given as an object: its code ran in this process" if self.kind == "module" else ""
        if not self.refused:
            return "its code ran in a process of its own, not sandboxed: this system refused it nothing"
        return f"its code ran in a sandbox, which refused it {', '.join(self.refused)}"

    @property
    def notes(self) -> list[str]:
        """What every reader of the verdict is to know of the code that was judged; nothing where it is our own."""
        printed = f"its code printed: {self.printed}" if self.printed else ""
        cut = "budget spent: its training was cut there, and is judged as it stood" if self.budget_spent else ""
        return [note for note in (self.code_note, self.sandbox_note, cut, printed) if note]

    @property
    def code_note(self) -> str:
        """A sentence where the code that was judged is not known to be the run's own, else empty."""
        return code_note(self.code_differs)


class JudgedContract(_Part):
    """The contract, word for word."""

    name: Text
    sha256: str
    text: str


class JudgedData(_Part):
    """A set of images that the model was evaluated on."""

    source: Text
    split: Text
    num_images: int
    sha256: Text


class Counted(NamedTuple):
    """Right answers, counted by a check over a whole set of images."""

    check: str
    data: JudgedData
    correct: int
    seen: int


class Verdict(_Part):
    """All findings, and what exactly they are about.

    >>> import tinydigits as td
    >>> verdict = td.verify("two-conv", td.Contract(name="small", model={"parameters": {"max": 14_000}}))
    >>> bool(verdict), verdict.findings["model.parameters"].measured
    (True, '13,242')
    >>> verdict
    check             measured  limit           finding
    model.parameters  13,242    at most 14,000  pass
    two-conv against small: holds (1 pass)

    `verified_at` is an ISO 8601 time, `seconds` how long it took.
    """

    format: int = FORMAT
    target: JudgedTarget
    contract: JudgedContract
    data: tuple[JudgedData, ...] = ()
    findings: Findings
    verified_at: Text = ""
    seconds: float = 0.0
    device: Text = "cpu"
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
        outcome = {"verdict": verdict.word, "exit_code": verdict.exit_code}
        if any(value != outcome[key] for key, value in stated.items()):  # of any type that JSON has
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

    def __bool__(self) -> bool:
        """Whether it holds."""
        return self.word == "holds"

    def table(self) -> Table:
        """A row for each finding, and the outcome below."""
        rows = [(finding.check, finding.measured, finding.limit, finding.status) for finding in self.findings]
        notes = [f"{finding.check}: {finding.why}" for finding in self.not_passed if finding.why]
        outcome = f"{self.headline} ({self.summary})"
        bold = [number for number, finding in enumerate(self.findings) if finding.status != "pass"]
        return Table(("check", "measured", "limit", "finding"), rows, "llll", [*notes, outcome], bold)

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    @property
    def headline(self) -> str:
        """Which target, which contract, and the word; one of several words is quoted, since it could say anything."""
        return f"{quoted(self.target.name)} against {quoted(self.contract.name)}: {self.word}"

    @property
    def summary(self) -> str:
        """How many findings there are of each status."""
        statuses = [finding.status for finding in self.findings]
        return ", ".join(f"{statuses.count(status)} {status}" for status in STATUSES if status in statuses)

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
