"""`tinydigits contracts`: which contracts there are, what they say, and a copy to edit."""

from __future__ import annotations

from collections.abc import Iterator

from tinydigits.cli.shipped import shipped_files


def _rows() -> Iterator[tuple[str, ...]]:
    from tinydigits import contract

    for name in contract.names():
        yield name, contract.load(name).description


def _read(name: str) -> str:
    from tinydigits import contract

    return contract.load(name).text


app = shipped_files(
    "contract", ("name", "claim"), _rows, _read, then="tinydigits verify --contract", example="under-25k"
)
