"""Removing runs: only what is a run, only inside its own folder, never through a link."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tinydigits.errors import TinydigitsError
from tinydigits.run.folder import Run, point_latest
from tinydigits.run.lookup import LATEST, at_latest, open_run, runs_in

__all__ = ["find_removable", "remove"]


def find_removable(target: str | Path, out: str | Path = "runs") -> Run:
    """The run of that path or name, where it may be removed.

    >>> find_removable("/etc")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: run /etc: incomplete: it has no record.json
      try: tinydigits runs ls

    `latest` is the newest run. Raises TinydigitsError for what is no run, for a link that leads out of its own folder,
    for a run that has another run inside, and for `latest` where another folder has that name.
    """
    run = open_run(target, out)
    path = Path(at_latest(target, out))
    if Path(target).name == LATEST:
        _require_one_meaning(run)
    named = next(folder for folder in (path, out / path) if folder.is_dir())
    folder = named.resolve()
    if named.is_symlink() and folder.parent != named.parent.resolve():
        raise TinydigitsError(f"run {target}", "is a link that leads out of its folder", got=str(folder))
    inner = next((path for path in run.folder.rglob("record.json") if path.parent != run.folder), None)
    if inner is not None:
        raise TinydigitsError(f"run {target}", "has another run inside", got=str(inner.parent))
    if Path.cwd().is_relative_to(folder):
        raise TinydigitsError(f"run {target}", "is the folder that you are in", hint="cd ..")
    return Run(folder)


def _require_one_meaning(latest: Run) -> None:
    """Refuse to remove the newest run where a folder, an older run's copy perhaps, is called `latest` in its place."""
    folder = latest.folder.parent / LATEST
    if folder.is_dir() and not folder.is_symlink() and not folder.samefile(latest.folder):
        raise TinydigitsError(
            f"run {folder}", f"is a folder, and the newest run is {latest.name}",
            hint=f"tinydigits runs rm {latest.folder}, or rm -r {folder}",
        )  # fmt: skip


def remove(run: Run) -> None:
    """Remove a run's folder; `latest` beside it then points to the newest that is left.

    It is gone at once under its name, and then file by file; links inside are removed, never what they point to. Raises
    TinydigitsError where that fails.
    """
    out, grave = run.folder.parent, run.folder.with_name(f".removed-{run.name}-{os.getpid()}")
    latest = out / LATEST
    was_latest = latest.is_symlink() and latest.readlink().name == run.name
    try:
        run.folder.rename(grave)
        shutil.rmtree(grave)
    except OSError as error:
        raise TinydigitsError(f"run {run.folder}", f"cannot be removed: {error.strerror or error}") from error
    if was_latest:
        left = runs_in(out)
        if left:
            point_latest(out, left[-1].name)
        else:
            latest.unlink(missing_ok=True)
