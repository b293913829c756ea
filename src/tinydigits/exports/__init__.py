"""Exports: a trained model in a format that others read; one file a format, found by folder.

A format's file has `FORMAT`, a `Format` (see `parity.py`); its first docstring line says what it is. Packages that few
people have are imported within `extra`, which names what brings them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinydigits.errors import TinydigitsError, foreign_code, printable
from tinydigits.exports.parity import Format, Parity, compare
from tinydigits.exports.speed import Speed, load, measure
from tinydigits.exports.trained import NotAsked, TooLarge, Trained, of_run
from tinydigits.plugins import Plugins

__all__ = [
    "Exported", "Parity", "Speed", "TooLarge", "Trained", "export", "formats", "measure", "of_run",
    "summary",
]  # fmt: skip

_FORMATS: Plugins[Format] = Plugins(
    __name__, "FORMAT", where="export", kind="format", but={"parity", "speed", "trained"}
)
summary = _FORMATS.summary


@dataclass(frozen=True, repr=False)
class Exported:
    """A file that was written, and whether it answers as the checkpoint does.

    A text that cannot be asked has no parity, and neither has a file for which this machine has nothing to ask it with:
    `not_asked` says what is missing. `note` is what else its format has to say. Where `holds` is False the file is
    deleted already.
    """

    format: str
    path: Path
    num_bytes: int
    parity: Parity | None
    note: str = ""
    not_asked: str = ""

    @property
    def holds(self) -> bool:
        return self.parity is None or self.parity.holds

    def __repr__(self) -> str:
        """The file with its size, and a line for each thing that there is to say of it."""
        head = f"{self.path} ({self.num_bytes:,} bytes)" if self.holds else f"{self.path}: deleted"
        notes = [str(note) for note in (self.parity, self.not_asked, self.note) if note]
        return "\n  ".join([printable(head), *notes])


def formats(trained: Trained | None = None) -> list[str]:
    """The formats that there are, or those that a model can have: only a run with its checkpoint becomes a .pth.

    >>> formats()
    ['c', 'c-int8', 'card', 'executorch', 'html', 'litert', 'onnx', 'onnx-int8', 'pt2', 'pth', 'safetensors']
    """
    names = _FORMATS.names()
    return names if trained is None else [name for name in names if _is_there(_FORMATS.get(name), trained)]


def export(trained: Trained, name: str, folder: Path) -> Exported:
    """Write a model in the format `name` to `folder` (made if needed), and ask the file for every test image.

    A file that does not answer as the checkpoint does is deleted. Raises NotInstalled for a package that the format
    needs and that is not here, TinydigitsError for an unknown format, test images that are not at hand, and a folder
    that cannot be written.
    """
    form = _FORMATS.get(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TinydigitsError(str(folder), f"cannot be made: {error.strerror}") from error
    if not _is_there(form, trained):
        needs = " and ".join(form.needs)
        raise TinydigitsError(f"export {name}", f"needs a run's {needs}", hint="tinydigits train, or another format")
    parity, not_asked = None, ""
    with foreign_code(f"model {trained.card.model}", f"when it is exported as {name}"):
        path = form.write(trained, folder)
        if form.load is not None:
            try:
                spec = trained.code.spec if trained.code is not None else None
                parity = compare(trained, load(form, path, spec), form.parity)
            except NotAsked as error:
                not_asked = f"parity not run: {error}"
            except BaseException:
                path.resolve().unlink()  # not known to be right; a link's target is what was written
                raise
    exported = Exported(name, path, path.stat().st_size, parity, form.note(path), not_asked)
    if not exported.holds:
        path.resolve().unlink()
    return exported


def _is_there(form: Format, trained: Trained) -> bool:
    """Whether the run has the files that a format is made of, beside the weights."""
    run = trained.run
    return not form.needs or (run is not None and all((run.folder / file).is_file() for file in form.needs))
