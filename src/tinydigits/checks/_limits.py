"""What a contract may say of a check: the base of all limits, and ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from tinydigits.checks._subject import Subject

__all__ = ["Count", "Limits", "Range", "Tolerance"]

Count = Annotated[int, Field(ge=1)]
Tolerance = Annotated[float, Field(ge=0, lt=1)]
"""A difference relative to what is compared: beyond all of it, nothing would be asked any more."""


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
