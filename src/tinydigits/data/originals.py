"""Sets that were published as four IDX files: where to look for them, and how to know them.

All such sets use the same four file names, so a file is known by its SHA-256 and never by its name. For a set called
`mnist` the places are, in this order:

1. `$TINYDIGITS_DATA/mnist/`. What lies here under one of the names must be the original; anything else is an error.
2. `$TINYDIGITS_DATA/`. An original of another known set is passed over; anything else is an error.
3. the cache, which only `download.py` fills; a file that does not match is fetched again.
4. the mirrors.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, final

import numpy as np

from tinydigits.data import idx, sources
from tinydigits.data.download import Original, cache_folder, fetch
from tinydigits.data.source import Source, SourceInfo
from tinydigits.errors import TinydigitsError

__all__ = ["Original", "OriginalFiles", "published"]


@final
@dataclass(frozen=True)
class OriginalFiles(Source):
    """A source of four original IDX files, on this machine or from mirrors."""

    info: SourceInfo
    originals: tuple[Original, ...]

    def at_hand(self) -> str | None:
        paths = [self._find(original) for original in self.originals]
        folders = {str(path.parent) for path in paths if path}
        return ", ".join(sorted(folders)) if all(paths) else None

    def read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        paths = self._paths()
        return idx.read_pair(*(paths[role] for role in idx.SPLITS[split]), num_classes=len(self.info.classes))

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self._paths().values()}

    def _paths(self) -> dict[str, Path]:
        """All four files, also when only two are wanted: a damaged test set is worth knowing before training."""
        paths = {original.role: self._find(original) for original in self.originals}
        missing = [original for original in self.originals if not paths[original.role]]
        fetch(self.info.name, missing, self.info.mirrors)
        cache = cache_folder(self.info.name)
        return {original.role: paths[original.role] or cache / original.file for original in self.originals}

    def _find(self, original: Original) -> Path | None:
        for folder, is_shared in self._own_folders():
            paths = [folder / file for file in idx.file_names(original.role) if (folder / file).is_file()]
            for path in paths:
                if _is_original(path, original):
                    return path
            for path in paths:
                if not (is_shared and _is_known(path)):
                    raise self._damaged(path, original)
        cached = cache_folder(self.info.name) / original.file
        return cached if _is_original(cached, original) else None

    def _own_folders(self) -> list[tuple[Path, bool]]:
        """The folders that the user named, and whether other sets may lie there too."""
        named = os.environ.get("TINYDIGITS_DATA")
        if not named:
            return []
        root = Path(named).expanduser()
        if not root.is_dir():
            raise TinydigitsError("TINYDIGITS_DATA", got=named, expected="a folder that exists")
        return [(root / self.info.name, False), (root, True)]

    def _damaged(self, path: Path, original: Original) -> TinydigitsError:
        name = self.info.name
        plain = f", or plain with SHA-256 {original.sha256_plain}" if original.sha256_plain else ""
        return TinydigitsError(
            path,
            f"not {name}'s original file: truncated, damaged or another set's",
            got=f"{path.stat().st_size} bytes, SHA-256 {_sha256(path)}",
            expected=f"{original.num_bytes} bytes, SHA-256 {original.sha256}, gzipped{plain}",
            hint=f"remove the file; a set of your own is named by its folder, {path.parent}, in place of {name}",
        )


@cache
def published(path: Path) -> OriginalFiles:
    """The set of the name and with the facts of a TOML file."""
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    originals = tuple(Original(role, **facts) for role, facts in tree.pop("files").items())
    lists: dict[str, Any] = {key: tuple(tree.pop(key)) for key in ("classes", "mirrors")}
    return OriginalFiles(SourceInfo(path.stem, **lists, **tree), originals)


def _is_original(path: Path, original: Original) -> bool:
    """Whether a file has the very bytes of an original, gzipped or plain."""
    if not path.is_file():
        return False
    if path.stat().st_size == original.num_bytes:
        return _sha256(path) == original.sha256
    return original.sha256_plain is not None and _sha256(path) == original.sha256_plain


def _is_known(path: Path) -> bool:
    """Whether a file is an original of any known set."""
    every = [source for source in map(sources.get, sources.names()) if isinstance(source, OriginalFiles)]
    return any(_is_original(path, original) for source in every for original in source.originals)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
