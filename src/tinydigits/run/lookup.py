"""Which run is meant: by its path, by its name, or by the word `latest`."""

from __future__ import annotations

import json
import math
import os
import re
import time
from datetime import datetime
from pathlib import Path

from tinydigits.errors import TinydigitsError
from tinydigits.run.folder import Run

__all__ = ["LATEST", "at_latest", "folders_in", "is_run_name", "open_run", "runs_in", "start_of"]

LATEST = "latest"
"""The word for the newest run."""
_OWN_NAME = re.compile(r"(\d{8}_\d{6})_.+_s\d+(?:_(\d+))?")  # what `create` calls a run


def runs_in(out: str | Path = "runs") -> list[Run]:
    """The runs of a folder, oldest first by the start that their records state.

    >>> runs_in("nowhere")
    []

    Where `latest` is a folder and no link (an unpacked artifact, a cloud folder), it may be a copy of an older run: it
    is left out unless it is the newest run itself.
    """
    try:
        names = folders_in(out)
    except OSError:
        return []
    places = {name: place for name in names if (place := _place(f"{out}/{name}", name)) is not None}
    ordered = sorted(places, key=lambda name: places[name])
    return [Run(Path(out, name)) for name in ordered if name != LATEST or name == ordered[-1]]


def folders_in(folder: str | Path) -> list[str]:
    """The names of the folders in a folder that may be runs: none that is hidden, and no link."""
    with os.scandir(folder) as entries:
        return [
            entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
        ]


def _place(folder: str, name: str) -> tuple[float, bool, int, str] | None:
    """What a folder is ordered by among the runs; None where it is no run.

    First its start. Copies of a run come before it; of runs that began together, the one with the higher number comes
    last. Where a record cannot be read, the date in the name stands in for the start: a damaged newest run is then
    still the newest, and is an error for whoever opens it, in place of an older run that is taken for it.
    """
    own = _OWN_NAME.fullmatch(name)
    try:
        with open(f"{folder}/record.json", "rb") as file:  # noqa: PTH123 (a third of the time of Path.read_bytes)
            start = start_of(json.loads(file.read())["started_at"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        start = _start_in_name(own[1]) if own else -math.inf
    return start, own is not None, int(own[2] or 1) if own else 1, name


def start_of(text: str) -> float:
    """The moment that a record's `started_at` states, in seconds; raises ValueError for what is no time.

    >>> start_of("2026-01-02T03:04:05+0000") < start_of("2026-01-02T04:04:05.001+01:00")
    True
    """
    try:
        return datetime.fromisoformat(text).timestamp()
    except OverflowError as error:
        raise ValueError(str(error)) from error


def _start_in_name(date: str) -> float:
    try:
        return time.mktime(time.strptime(date, "%Y%m%d_%H%M%S"))
    except (ValueError, OverflowError):
        return -math.inf


def at_latest(path: str | Path, out: str | Path = "runs") -> str:
    """A path with the folder of the newest run in place of `latest`; any other path as it is.

    >>> at_latest("model.py:Net"), at_latest("nowhere/latest/weights.safetensors")
    ('model.py:Net', 'nowhere/latest/weights.safetensors')

    The word alone means the newest run of `out`, and `FOLDER/latest` that of a folder, here or in `out`, whatever
    stands there under this name: a link, a copy of an older run, or nothing. A run in progress is one, too.
    """
    return _resolved(path, out) or str(path)


def _resolved(path: str | Path, out: str | Path) -> str | None:
    parts = Path(path).parts
    for at in (at for at, part in enumerate(parts) if part == LATEST):
        folder = Path(*parts[:at])
        for place in [Path(out)] if str(path) == LATEST else [folder, out / folder]:
            runs = runs_in(place)
            if runs:
                return str(runs[-1].folder.joinpath(*parts[at + 1 :]))
    return None


def is_run_name(target: str | Path, out: str | Path = "runs") -> bool:
    """Whether a target is meant as a run: it is a folder, here or in `out`, or `latest`.

    >>> is_run_name("latest"), is_run_name("model.py:Net")
    (True, False)
    """
    if Path(target).name == LATEST:
        return True
    return os.path.isdir(target) or os.path.isdir(Path(out) / target)  # noqa: PTH112 (no error for any name)


def open_run(target: str | Path | None = None, out: str | Path = "runs") -> Run:
    """The run at a path, or by its name in `out`; None, as the word `latest`, gives the newest.

    Raises TinydigitsError where there is none.
    """
    path = Path(LATEST if target is None else target)
    if path.name == LATEST:
        newest = _resolved(LATEST if target is None else target, out)
        if newest is None:
            folder = out if path == Path(LATEST) else path.parent
            raise TinydigitsError(str(folder), "no run here yet", hint="tinydigits train")
        path = Path(newest)
    for folder in (path, out / path):
        if folder.is_dir():
            run = Run(folder.resolve() if folder.is_symlink() else folder)
            _ = run.record  # raises where it is no run
            return run
    raise TinydigitsError(f"run {target}", "no such folder", hint="tinydigits runs ls")
