"""`tinydigits contracts`: which contracts there are, what they say, and a copy to edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinydigits.cli.shipped import shipped_files

if TYPE_CHECKING:
    from tinydigits.contract import Contract


def _row(name: str, contract: Contract) -> tuple[str, ...]:
    return name, contract.description


app = shipped_files("contract", ("name", "claim"), _row, then="tinydigits verify --contract", example="under-25k")
