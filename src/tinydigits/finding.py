"""What one check measured, and whether that is within its limit."""

from __future__ import annotations

from typing import Annotated, Any, Literal, SupportsIndex, overload

from pydantic import AfterValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.dataclasses import dataclass
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

from tinydigits.errors import printable

__all__ = ["STATUSES", "Finding", "Findings", "Status", "Text"]

Status = Literal["pass", "fail", "undecided", "not run"]
STATUSES: tuple[Status, ...] = ("pass", "fail", "undecided", "not run")


Text = Annotated[str, AfterValidator(printable)]
"""Names and messages of strangers, made printable."""


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

    check: Text
    status: Status
    measured: Text = ""
    limit: Text = ""
    why: Text = ""
    details: _Details = Field(default_factory=dict)
    value: int | float | None = None
    advice: Text = ""

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


class Findings(tuple[Finding, ...]):
    """The findings of a verdict, by position or by the name of a check.

    >>> Findings([Finding("model.parameters", "pass", "98")])["model.parameters"].measured
    '98'

    Raises KeyError for a check that the contract does not ask for.
    """

    @overload
    def __getitem__(self, key: str | SupportsIndex) -> Finding: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Finding, ...]: ...
    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        for finding in self:
            if finding.check == key:
                return finding
        raise KeyError(f"{key}: not in this verdict, which has {', '.join(finding.check for finding in self)}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(cls, handler(Annotated[tuple[Finding, ...], Field(min_length=1)]))
