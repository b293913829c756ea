"""Rows: the record of a run and the verdict on it, a file a run; the figures of results and frontier are of these."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tinydigits.errors import TinydigitsError
from tinydigits.report import train_command
from tinydigits.run import Record, Run, write_atomic
from tinydigits.verdict import JudgedData, Verdict

__all__ = ["Row", "collect", "is_shipped", "load_rows", "write"]


class Row(BaseModel):
    """One run: its record, and the verdict that measured it anew on the official test images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    record: Record
    verdict: Verdict

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return str(self.record.recipe["name"])

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.record.recipe["seed"])

    def command(self, num_seeds: int = 1) -> str:
        """What trains it again, and with it the runs of the seeds that follow."""
        command, first = train_command(self.record), f" --seed {self.seed}"
        return command.replace(first, f"{first if self.seed else ''} --seeds {num_seeds}") if num_seeds > 1 else command

    @property
    def test_set(self) -> JudgedData:
        """Source, number of images and SHA-256 of the test images; raises TinydigitsError for none."""
        if self.verdict.test_data is not None:
            return self.verdict.test_data
        raise TinydigitsError(f"row {self.recipe} s{self.seed}", "its verdict did not ask any test images")

    @property
    def test_counts(self) -> tuple[int, int]:
        """Right answers and images asked, of the whole test split."""
        if self.verdict.test_counts is not None:
            return self.verdict.test_counts
        raise TinydigitsError(f"row {self.recipe} s{self.seed}", "its verdict has no count of right test images")

    @property
    def shift_pixels(self) -> int:
        """Up to how far every test image was shifted, and the answers averaged; 0 where each was asked once."""
        return self.verdict.target.test_time_shift_pixels


def load_rows(folder: Path) -> list[Row]:
    """Read every row of a folder, by recipe and seed; raises TinydigitsError for a damaged one."""
    rows = []
    for path in sorted(folder.glob("*.json")):
        try:
            rows.append(Row.model_validate(json.loads(path.read_text(encoding="utf-8"))))
        except ValueError as error:
            raise TinydigitsError(str(path), f"damaged row: {error}") from error
        if path.stem != f"{rows[-1].recipe}_s{rows[-1].seed}":
            raise TinydigitsError(str(path), got=f"a row of {rows[-1].recipe}, seed {rows[-1].seed}")
    return sorted(rows, key=lambda row: (row.recipe, row.seed))


def collect(run: Run) -> Row:
    """The row of a run; raises TinydigitsError where there is none to be had.

    The run must have followed a shipped recipe to its end, and its verdict be of its own weights and of test images.
    """
    record = run.record
    if record.status != "finished":
        raise TinydigitsError(f"run {run.folder}", got=record.status, expected="finished")
    if not is_shipped(record):
        raise TinydigitsError(f"run {run.folder}", f"its recipe is not the {record.recipe['name']} of this package")
    if run.verdict is None:
        raise TinydigitsError(
            f"run {run.folder}", "has no verdict of these weights", hint=f"tinydigits verify {run.folder}"
        )
    row = Row(record=record, verdict=run.verdict)
    _ = row.test_counts  # raises where they were not asked
    return row


def write(row: Row, folder: Path, *, replace: bool) -> Path:
    """Write the row's file, a line for each of its parts."""
    path = folder / f"{row.recipe}_s{row.seed}.json"
    content = _lines(row.model_dump(mode="json"))
    if path.exists() and path.read_text(encoding="utf-8") != content and not replace:
        raise TinydigitsError(str(path), "holds another run of this recipe and seed", hint="--replace")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    return path


def _lines(tree: dict[str, dict[str, Any]]) -> str:
    """JSON with one line for each key of the second level: small, and readable in a diff."""
    parts = []
    for name, inner in tree.items():
        lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in inner.items()]
        parts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def is_shipped(record: Record) -> bool:
    """Whether a run followed the recipe of this name that comes with the package, but for its seed."""
    words = shlex.split(train_command(record))
    return words[2] == record.recipe["name"] and "--set" not in words
