"""What the user named, and what it turned out to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinydigits.checks import Subject
from tinydigits.run import Run

__all__ = ["Asked", "Target"]


@dataclass(frozen=True)
class Asked:
    """What the user named; `text` is None where the latest run of the folder `out` is meant."""

    text: str | None
    out: Path = Path("runs")
    device: str = "cpu"

    @property
    def is_folder(self) -> bool:
        """Whether there is a folder of that name, here or in `out`."""
        return self.text is not None and (Path(self.text).is_dir() or (self.out / self.text).is_dir())


@dataclass(frozen=True)
class Target:
    """What will be judged: the subject of the checks, and the facts that a verdict states of it.

    `contract` names the contract that it comes with, if any.
    """

    subject: Subject
    facts: dict[str, Any] = field(default_factory=dict)
    contract: str | None = None
    run: Run | None = None
