"""Exports: a trained model in a format that others read; one file a format, found by folder.

A format's file has `write(trained, folder) -> Path`. Where others can ask the file, it also has
`load(path) -> Answer`, from uint8 images to probabilities, and `PARITY`, the rule by which its answers must agree with
the checkpoint's (`parity.py`); `load` raises NotAsked where this machine has nothing to ask the file with. With
`BUILDS` it builds the model anew, by the code that a second argument names. `NEEDS` names files of a run that it is
made of; `note(path) -> str` may add a line. Packages that few people have are imported within `extra`, which
names what brings them. Its first docstring line says what it is.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from tinydigits.errors import TinydigitsError, foreign_code, unknown_name
from tinydigits.exports.parity import Parity, compare
from tinydigits.exports.speed import Speed, load, measure
from tinydigits.exports.trained import NotAsked, TooLarge, Trained, of_run

__all__ = [
    "Exported", "Parity", "Speed", "TooLarge", "Trained", "export", "formats", "measure", "of_run",
    "summary",
]  # fmt: skip

_ROOM = Path(__file__).parent
_NOT_FORMATS = {"__init__", "parity", "speed", "trained"}


@dataclass(frozen=True)
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


def formats(trained: Trained | None = None) -> list[str]:
    """The formats that there are, or those that a model can have: only a run with its checkpoint becomes a .pth.

    >>> formats()
    ['c', 'c-int8', 'card', 'executorch', 'html', 'litert', 'onnx', 'onnx-int8', 'pt2', 'pth', 'safetensors']
    """
    names = sorted(path.stem.replace("_", "-") for path in _ROOM.glob("*.py") if path.stem not in _NOT_FORMATS)
    return names if trained is None else [name for name in names if _is_there(_module(name), trained)]


def summary(name: str) -> str:
    """The first line of a format's docstring, read without importing it.

    >>> summary("pth")[:6]
    'A .pth'
    """
    text = (_ROOM / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]


def export(trained: Trained, name: str, folder: Path) -> Exported:
    """Write a model in the format `name` to `folder` (made if needed), and ask the file for every test image.

    A file that does not answer as the checkpoint does is deleted. Raises NotInstalled for a package that the format
    needs and that is not here, TinydigitsError for an unknown format, test images that are not at hand, and a folder
    that cannot be written.
    """
    if name not in formats():
        raise unknown_name("export", name, formats(), kind="format")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TinydigitsError(str(folder), f"cannot be made: {error.strerror}") from error
    form = _module(name)
    if not _is_there(form, trained):
        needs = " and ".join(form.NEEDS)
        raise TinydigitsError(f"export {name}", f"needs a run's {needs}", hint="tinydigits train, or another format")
    parity, not_asked = None, ""
    with foreign_code(f"model {trained.card.model}", f"when it is exported as {name}"):
        path: Path = form.write(trained, folder)
        if hasattr(form, "load"):
            try:
                spec = trained.code.spec if trained.code is not None else None
                parity = compare(trained, load(form, path, spec), form.PARITY)
            except NotAsked as error:
                not_asked = f"parity not run: {error}"
            except BaseException:
                path.resolve().unlink()  # not known to be right; a link's target is what was written
                raise
    note = form.note(path) if hasattr(form, "note") else ""
    exported = Exported(name, path, path.stat().st_size, parity, note, not_asked)
    if not exported.holds:
        path.resolve().unlink()
    return exported


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"tinydigits.exports.{name.replace('-', '_')}")


def _is_there(form: ModuleType, trained: Trained) -> bool:
    """Whether the run has the files that a format is made of, beside the weights."""
    files = getattr(form, "NEEDS", ())
    return not files or (trained.run is not None and all((trained.run.folder / file).is_file() for file in files))
