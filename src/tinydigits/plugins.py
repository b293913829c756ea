"""What is found by folder: each module, or TOML file, of a folder is one, by its name, and nothing is registered."""

from __future__ import annotations

import ast
import sys
from collections.abc import Container
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Generic, TypeVar, cast

from tinydigits.errors import TinydigitsError, unknown_name

__all__ = ["Plugins", "TomlFiles"]

T = TypeVar("T")


class Plugins(Generic[T]):
    """The modules of a package, but for those that begin with `_` and those in `but`; each has `attribute`, a T, or is one.

    >>> formats: Plugins[object] = Plugins("tinydigits.report.verdict", "render", where="verdict", kind="format")
    >>> formats.names()
    ['annotations', 'badge', 'json', 'junit', 'markdown']
    >>> formats.get("markdwn")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: verdict: unknown format 'markdwn', expected one of annotations, badge, json, junit, markdown
      try: markdown

    A module's name has hyphens where its file has underscores. Only `get` and `all` import any.
    """  # noqa: E501

    def __init__(
        self, package: str, attribute: str, *, where: str, kind: str, hint: str = "", but: Container[str] = ()
    ) -> None:
        self.package, self.attribute, self.but = package, attribute, but
        self.where, self.kind, self.hint = where, kind, hint

    @property
    def folder(self) -> Path:
        import_module(self.package)
        return Path(sys.modules[self.package].__path__[0])

    def names(self) -> list[str]:
        """The names of all, in alphabetical order."""
        return sorted(
            path.stem.replace("_", "-") for path in self.folder.glob("[!_]*.py") if path.stem not in self.but
        )  # fmt: skip

    def file(self, name: str) -> Path:
        """The source of one; raises TinydigitsError, with the nearest names, where there is none."""
        names = self.names()
        if name not in names:
            raise unknown_name(self.where, name, names, kind=self.kind, hint=self.hint)
        return self.folder / f"{name.replace('-', '_')}.py"

    def get(self, name: str) -> T:
        """One of them, imported; raises as `file` does."""
        module = import_module(f"{self.package}.{self.file(name).stem}")
        return cast(T, getattr(module, self.attribute) if self.attribute else module)

    def all(self) -> list[T]:
        """Every one, imported."""
        return [self.get(name) for name in self.names()]

    def summary(self, name: str) -> str:
        """The first line of a module's docstring, read without importing it."""
        return (ast.get_docstring(ast.parse(self.file(name).read_text(encoding="utf-8"))) or "").splitlines()[0]


@dataclass(frozen=True)
class TomlFiles:
    """The TOML files of one kind that come with the package, and the user's own; `example` is one to copy.

    >>> TomlFiles("recipe", Path("nowhere"), "sprint").find("nothing")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: recipe: unknown recipe 'nothing'
      try: a path that ends in .toml
    """

    kind: str
    folder: Path
    example: str

    def names(self) -> list[str]:
        """The names of those that come with the package, in alphabetical order."""
        return sorted(path.stem for path in self.folder.glob("*.toml"))

    def find(self, name_or_path: str | Path) -> Path:
        """The file of one of `names()`, or a path of the user's; raises TinydigitsError where there is none."""
        text, names = str(name_or_path), self.names()
        if text in names:
            return self.folder / f"{text}.toml"
        if Path(text).is_file():
            return Path(text)
        if not text.endswith(".toml"):
            raise unknown_name(self.kind, text, names, kind=self.kind, hint="a path that ends in .toml")
        hint = f"tinydigits {self.kind}s cp {self.example} {text}"
        raise TinydigitsError(f"{self.kind} {text}", "no such file", hint=hint)
