"""Documents that tinydigits writes and reads again: JSON with a format number, checked against a typed model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tinydigits.errors import TinydigitsError, explain_validation
from tinydigits.text import json_tree, read_text

__all__ = ["Document", "load_document", "parse_document"]

Document = TypeVar("Document", bound=BaseModel)


def load_document(
    path: Path, model: type[Document], *, newest: int, hint: str = "", as_written: bool = False
) -> Document:
    """The document in a file; `newest` is the highest format number that this version reads.

    >>> class Note(BaseModel):
    ...     text: str
    >>> load_document(Path("note.json"), Note, newest=1, hint="write one")
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: note note.json: no such file
      try: write one

    Its strings are made `printable`, unless the model does it and they are wanted `as_written`. Raises TinydigitsError,
    with `hint`, for a file that is missing, no JSON, damaged or of a newer version.
    """
    where = f"{model.__name__.lower()} {path}"
    if not path.exists():
        raise TinydigitsError(where, "no such file", hint=hint)
    tree = json_tree(read_text(path, where), where, as_written=as_written)
    return parse_document(tree, model, where, newest=newest, hint=hint)


def parse_document(tree: Any, model: type[Document], where: str, *, newest: int, hint: str = "") -> Document:
    """The document that a tree of JSON holds.

    >>> class Note(BaseModel):
    ...     text: str
    >>> parse_document({"text": 1}, Note, "note.json", newest=1)
    Traceback (most recent call last):
    tinydigits.errors.TinydigitsError: note.json: damaged: text: got 1, expected a valid string

    Raises TinydigitsError, with `hint`, for one that is damaged or of a newer version.
    """
    number = tree.get("format") if isinstance(tree, dict) else None
    if isinstance(number, int) and number > newest:
        raise TinydigitsError(
            where, "written by a newer version of tinydigits", got=f"format {number}", expected=f"at most {newest}",
            hint="a newer version of tinydigits",
        )  # fmt: skip
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        reason = explain_validation("damaged", error, tree, lambda location: ())
        raise TinydigitsError(where, str(reason), hint=hint) from error
