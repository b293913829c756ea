"""What a check says: measured, limit, and whether the one holds to the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tinydigits.errors import printable

if TYPE_CHECKING:
    from tinydigits.checks._subject import Subject

__all__ = ["Count", "Finding", "Limits", "Range", "Status", "Tolerance"]

Status = Literal["pass", "fail", "undecided", "not run"]
Count = Annotated[int, Field(ge=1)]
Tolerance = Annotated[float, Field(ge=0, lt=1)]
"""A difference relative to what is compared: beyond all of it, nothing would be asked any more."""


@dataclass(frozen=True)
class Finding:
    """One check's result.

    >>> Finding.judge("model.parameters", 9_274 < 20_000, measured="9,274", limit="at most 19,999").status
    'pass'

    `measured`, `limit` and `why` are for people; `details` has the same as numbers, for JSON. `value` is the measured
    number where there is one, so that two verdicts can be compared. `advice` says what to do where it does not pass.
    These texts are made `printable`: they name what strangers named, and say what their exceptions say.
    """

    check: str
    status: Status
    measured: str = ""
    limit: str = ""
    why: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    value: float | None = None
    advice: str = ""

    def __post_init__(self) -> None:
        for name in ("measured", "limit", "why", "advice"):
            object.__setattr__(self, name, printable(getattr(self, name)))

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


class Limits(BaseModel):
    """The base of every check's limits: frozen, strict about unknown keys, and finite.

    A limit that no model breaks, or that none can keep, is refused by the bounds of its field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def text(self) -> str:
        """The limit in words, for findings that do not say it themselves."""
        return ""

    def for_subject(self, subject: Subject) -> Self:
        """The limits as they are put to one subject, with what is its own in place of what they leave open."""
        return self


class Range(Limits):
    """At least, at most, or exactly so many.

    >>> Range(max=20).holds(19), Range(max=20).text(), Range(equals=29).text()
    (True, 'at most 20', 'exactly 29')
    """

    min: int | None = Field(None, ge=1, description="at least so many")
    max: int | None = Field(None, ge=0, description="at most so many")
    equals: int | None = Field(None, ge=0, description="exactly so many")

    @model_validator(mode="after")
    def _limits_something(self) -> Range:
        if self.min is None and self.max is None and self.equals is None:
            raise ValueError("at least one of min, max, equals")
        bounds = [bound for bound in (self.min, self.equals, self.max) if bound is not None]
        if bounds != sorted(bounds):
            raise ValueError("min ≤ equals ≤ max")
        return self

    def holds(self, value: int) -> bool:
        return (
            (self.min is None or value >= self.min)
            and (self.max is None or value <= self.max)
            and (self.equals is None or value == self.equals)
        )

    def text(self) -> str:
        parts = (("exactly", self.equals), ("at least", self.min), ("at most", self.max))
        return ", ".join(f"{words} {value:,}" for words, value in parts if value is not None)
