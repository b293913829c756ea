"""A run's folder: made, read, and written file by file, each whole or not at all."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from tinydigits.documents import load_document
from tinydigits.errors import TinydigitsError
from tinydigits.figures import count_of
from tinydigits.run.writing import discard, sync_folder, write_atomic, write_error
from tinydigits.text import source_label
from tinydigits.verdict import Verdict
from tinydigits.verdict import load as load_verdict

__all__ = ["FORMAT", "Record", "Result", "Run", "Seconds", "create", "point_latest"]

FORMAT = 1
_IS_PATH = re.compile(r"^[.~]|[/\\]")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Result(_Part):
    """Counts over one split; row of the confusion is the label, column the prediction.

    `calibration_error` is the expected one, in 15 bins; records of earlier versions have none.
    """

    split: Literal["train", "validation", "test"]
    seen: int
    correct: int
    loss: float
    confusion: list[list[int]]
    calibration_error: float | None = None

    @field_validator("confusion")
    @classmethod
    def _is_square(cls, confusion: list[list[int]]) -> list[list[int]]:
        if any(len(row) != len(confusion) for row in confusion):
            raise ValueError("the confusion is not square")
        return confusion

    @property
    def accuracy(self) -> float:
        """Share of correct answers, 0 to 1."""
        return self.correct / self.seen


class Seconds(_Part):
    """Wall-clock seconds: before the first step, in training steps, in evaluations (validation and final)."""

    start_up: float = 0.0
    training: float = 0.0
    evaluation: float = 0.0


class Record(_Part):
    """`record.json`: what was run, on what, with what result. Sizes in bytes, accuracy as counts.

    `source` is a data set's name or the absolute path of a folder, `data_sha256` the digest of its training images,
    held-out ones included. `world_size` processes trained together, over `backend` (gloo or nccl; None for one alone).
    Memory and times are the first one's. `code_sha256` has the files of a model that is not of the package, by their
    paths from its folder; None where it is not known, as in records of earlier versions. `extended_at` has the epochs
    after which the run was given more than its recipe had.
    """

    format: int = FORMAT
    status: Literal["running", "interrupted", "diverged", "finished"] = "running"
    started_at: str
    recipe: dict[str, Any]
    source: str
    classes: list[str]
    num_train: int
    num_validation: int
    data_sha256: str
    teachers_sha256: dict[str, str] = {}
    code_sha256: dict[str, str] | None = None
    num_parameters: int
    num_buffers: int
    device: str
    threads: int
    world_size: int = 1
    backend: str | None = None
    machine: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None = None
    epochs: int = 0
    steps: int = 0
    images_seen: int = 0
    images_for_statistics: int = 0
    resumed: int = 0
    extended_at: list[int] = []
    seconds: Seconds = Seconds()
    peak_memory_bytes: int = 0
    result: Result | None = None

    @field_validator("recipe")
    @classmethod
    def _says_what_was_run(cls, recipe: dict[str, Any]) -> dict[str, Any]:
        # The rest of a recipe differs from version to version; these every listing and page names.
        model = recipe.get("model")
        if not {"name", "seed", "epochs"} <= recipe.keys() or not isinstance(model, dict) or "name" not in model:
            raise ValueError("its recipe is not whole")
        return recipe

    @property
    def epochs_trained(self) -> str:
        """How many epochs were trained, and after which ones it was given more."""
        extended = f", extended after {' and '.join(map(str, self.extended_at))}" if self.extended_at else ""
        return f"{self.epochs:,} of {self.recipe['epochs']:,}{extended}"

    @property
    def source_label(self) -> str:
        """The data set for people: a known name, or a folder's name and its path."""
        return source_label(self.source)

    @model_validator(mode="after")
    def _names_a_folder_by_its_path(self) -> Record:
        # Earlier versions wrote a folder's last name alone; the recipe has its path.
        part = self.recipe.get("data")
        typed = part.get("source") if isinstance(part, dict) else None
        if isinstance(typed, str) and _IS_PATH.search(typed) and not _IS_PATH.search(self.source):
            self.source = typed
        return self


# A picture has the colours of its element's `color-scheme`, which the themes of JupyterLab and VS Code do not set.
_THEMES = (
    "<style>[data-jp-theme-light=true] .tinydigits-picture,.vscode-light .tinydigits-picture{color-scheme:light}"
    "[data-jp-theme-light=false] .tinydigits-picture,.vscode-dark .tinydigits-picture{color-scheme:dark}</style>"
)


def _picture(path: Path) -> str:
    """An SVG file as an element of HTML that keeps its styles to itself."""
    content = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img class="tinydigits-picture" alt="{path.stem}" src="data:image/svg+xml;base64,{content}">'


@dataclass(frozen=True, repr=False)
class Run:
    """The folder that a training leaves behind: its record, weights, tables and pictures.

    >>> import tinydigits as td
    >>> run = td.list_models()[0].run
    >>> run.record.num_parameters, run.record.epochs, run.file("record.json").name
    (20562, 1, 'record.json')

    In a notebook it shows its curves and its mistakes.
    """

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    def __repr__(self) -> str:
        try:
            record = self.record
        except TinydigitsError:
            return f"Run({str(self.folder)!r}), damaged"
        result = record.result
        share = f", {result.correct:,} of {result.seen:,} {result.split} images right" if result is not None else ""
        return f"Run({str(self.folder)!r}), {record.status} after {count_of(record.epochs, 'epoch')}{share}"

    def _repr_html_(self) -> str:
        # Of its report; the mistakes on test images where `verify` has asked them.
        tested = (self.folder / "mistakes-test.svg").is_file()
        pictures = [self.folder / name for name in ("curves.svg", "mistakes-test.svg" if tested else "mistakes.svg")]
        shown = [_picture(path) for path in pictures if path.is_file()]
        return "".join([_THEMES if shown else "", f"<p>{html.escape(repr(self))}</p>", *shown])

    @property
    def name(self) -> str:
        """The folder's own name, `<date>_<time>_<recipe>_s<seed>`."""
        return self.folder.name

    @property
    def record(self) -> Record:
        """The run's record; raises TinydigitsError where it is missing, damaged or newer than this version reads."""
        path = self.folder / "record.json"
        if not path.is_file():
            raise TinydigitsError(f"run {self.folder}", "incomplete: it has no record.json", hint="tinydigits runs ls")
        return load_document(path, Record, newest=FORMAT)

    @property
    def verdict(self) -> Verdict | None:
        """The verdict on these very weights; None for a run that was not verified since its weights were written.

        Raises TinydigitsError where it is damaged or newer than this version reads.
        """
        path, weights = self.folder / "verdict.json", self.folder / "weights.safetensors"
        if not path.is_file() or not weights.is_file():
            return None
        verdict = load_verdict(path)
        is_of_these = verdict.target.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
        return verdict if is_of_these else None

    def file(self, name: str) -> Path:
        """A file of the run; raises TinydigitsError where it is missing."""
        path = self.folder / name
        if not path.is_file():
            raise TinydigitsError(
                f"run {self.folder}", f"incomplete: it has no {name}", hint=f"tinydigits train --resume {self.folder}"
            )
        return path

    def write(self, name: str, content: str | bytes) -> None:
        """Write one file of the run, whole or not at all."""
        write_atomic(self.folder / name, content)

    def discard_drafts(self) -> None:
        """Remove what a killed process had begun to write."""
        for draft in self.folder.glob(".*.draft"):
            discard(draft)

    def write_record(self, record: Record) -> None:
        """Write `record.json`."""
        self.write("record.json", record.model_dump_json(indent=2) + "\n")

    def write_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows with the same keys as a CSV file: `history.csv`, a row an epoch, or `steps.csv`, a finer curve."""
        text = io.StringIO()
        if rows:
            writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        self.write(name, text.getvalue())

    def table(self, name: str) -> list[dict[str, float | None]]:
        """The rows of a CSV file, numbers as floats, empty cells as None."""
        with self.file(name).open(encoding="utf-8", newline="") as file:
            try:
                return [
                    {key: float(value) if value else None for key, value in row.items()} for row in csv.DictReader(file)
                ]
            except csv.Error as error:
                raise ValueError(str(error)) from error


def create(out: str | Path, recipe_name: str, seed: int, files: Mapping[str, str | bytes]) -> Run:
    """Make a run's folder under `out`, with its first files, and point `latest` to it.

    The folder appears under its name only when `files` are in it, so a run is never found without its recipe.
    """
    out = Path(out)
    safe_name = re.sub(r"[^A-Za-z0-9.-]+", "-", recipe_name)
    stem = f"{time.strftime('%Y%m%d_%H%M%S')}_{safe_name}_s{seed}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=out))
    except OSError as error:
        raise write_error(out, error) from error
    try:
        draft.chmod(0o755)
        for name, content in files.items():
            write_atomic(draft / name, content)
        run = Run(_rename_to_free_name(draft, out, stem))
        sync_folder(out)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise write_error(out, error) from error
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    point_latest(out, run.name)
    return run


def _rename_to_free_name(draft: Path, out: Path, stem: str) -> Path:
    for number in range(1, 1000):
        folder = out / (stem if number == 1 else f"{stem}_{number}")
        try:
            return draft.rename(folder)  # fails where a run of the same second and seed is there
        except OSError:
            if not folder.exists():
                raise
    raise TinydigitsError(str(out), f"has a thousand runs named {stem}")


def point_latest(out: Path, name: str) -> None:
    """Replace the link `latest` in one step, where links can be made: for people alone, tinydigits never reads it."""
    draft = out / f".latest-{os.getpid()}"
    try:
        draft.unlink(missing_ok=True)
        draft.symlink_to(name)
        draft.replace(out / "latest")
    except OSError:
        discard(draft)
