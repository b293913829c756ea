"""What `tinydigits new` writes: a project with a model, a recipe, a contract, tests, a workflow and a README.

The files lie in `templates`, each with `.template` behind its name: those of `common`, and those of one data set.
"""

from __future__ import annotations

import re
from importlib.resources import as_file, files
from pathlib import Path

from tinydigits.errors import TinydigitsError, unknown_name
from tinydigits.origin import requirement
from tinydigits.run import write_new

__all__ = ["data_sets", "new"]

_SUFFIX = ".template"
_COMMON = "common"


def data_sets() -> list[str]:
    """The data sets that a project can begin with.

    >>> data_sets()
    ['digits', 'mnist']
    """
    folder = files("tinydigits") / "scaffold" / "templates"
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name != _COMMON)


def new(folder: Path, data: str = "mnist") -> list[Path]:
    """Write a project into a new or empty folder, named after it, and give the paths of its files.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as parent:
    ...     sorted(path.name for path in new(Path(parent) / "my-net", data="digits"))
    ['.gitignore', 'README.md', 'contract.toml', 'model.py', 'recipe.toml', 'requirements.txt', 'test_contract.py', 'tinydigits.yml']

    `data` is what its recipe trains on and its contract asks for: `digits` needs no download. Raises TinydigitsError
    for a folder that has something in it, and for a data set without a template.
    """  # noqa: E501
    if data not in data_sets():
        raise unknown_name("new", data, data_sets(), kind="data set")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TinydigitsError(f"new {folder}", "is there already, and not an empty folder", hint="another name")
    name = re.sub(r"[^\w.-]+", "-", folder.resolve().name)
    words = {"@name@": name, "@requirement@": requirement() or _NO_REQUIREMENT}
    written = []
    with as_file(files("tinydigits") / "scaffold" / "templates") as templates:
        for kind in (_COMMON, data):
            for template in sorted((templates / kind).rglob(f"*{_SUFFIX}")):
                path = folder / template.relative_to(templates / kind).with_suffix("")
                text = template.read_text(encoding="utf-8")
                for placeholder, word in words.items():
                    text = text.replace(placeholder, word)
                _make_folder(path.parent)
                write_new(path, text)
                written.append(path)
    return written


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TinydigitsError(f"new {folder}", f"cannot be made: {error.strerror}") from error


# pip refuses the last line before it looks anything up, and prints it.
_NO_REQUIREMENT = """\
# tinydigits is not on PyPI. Write into the next line where your CI can install it from, such as
# tinydigits @ git+https://github.com/OWNER/tinydigits@COMMIT
tinydigits @ <where your CI can install it from: see requirements.txt>"""
