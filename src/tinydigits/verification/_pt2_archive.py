"""What is in a .pt2, looked at before torch reads it, for torch runs some of it as Python.

Its reader unpickles and loads what is there to be, writes the names in an archive into source code that it runs, hands
the sizes to sympy, which evaluates them, and imports modules that the description of a container names. So there may be
no objects and no libraries here, names must be words, sizes arithmetic on symbols, and containers Python's own, as in a
plain model's.
"""

from __future__ import annotations

import ast
import io
import re
import zipfile
from typing import Any

from tinydigits.archive import require_honest
from tinydigits.errors import TinydigitsError
from tinydigits.text import json_tree

__all__ = ["HINT", "rewritten"]

HINT = "; torch.export.save of a plain model, or .onnx, holds none"
_WHERE = "its archive"
# Compiled libraries, and constants that are objects: torch's reader loads the ones and unpickles the others.
_OBJECTS = ("data/aotinductor/", "data/constants/custom_obj_", "data/constants/opaque_obj_")
_WORD = re.compile(r"[\w.+-]*", re.ASCII)
_QUOTED = ("as_string", "as_strings", "metadata")  # which torch keeps as text wherever they go
_CODE = ("as_operator", "guards_code")
_CONTAINER = re.compile(r'null|\[("\w*"(, "\w*")*)?\]', re.ASCII)
_CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", None)
_ON_SIZES = {
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Max", "Min", "Mod", "PythonMod", "FloorDiv", "CeilDiv",
    "CleanDiv", "ModularIndexing", "Where", "CeilToInt", "FloorToInt", "TruncToInt", "TruncToFloat", "RoundToInt",
    "ToFloat", "IntTrueDiv", "FloatTrueDiv", "Identity", "Abs", "floor", "ceiling", "Equality", "Unequality", "Eq",
    "Ne", "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "Lt", "Le", "Gt", "Ge", "And", "Or",
    "Not", "true", "false", "oo",
}  # fmt: skip
_NODES = (
    ast.Expression, ast.Call, ast.Name, ast.Load, ast.keyword, ast.Constant, ast.UnaryOp, ast.USub, ast.BinOp, ast.Add,
    ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
)  # fmt: skip


def rewritten(content: bytes) -> bytes:
    """The archive anew, of the files that were looked at: of what two readers of zip see in one, torch gets no more.

    Raises TinydigitsError for what torch would run.
    """
    require_honest(content, _WHERE)
    file, seen = io.BytesIO(), set()
    with zipfile.ZipFile(io.BytesIO(content)) as given, zipfile.ZipFile(file, "w") as taken:
        for entry in given.infolist():
            name = entry.filename.lower()  # torch's reader finds a name in any case
            if any(f"/{place}" in name for place in _OBJECTS):
                raise TinydigitsError(_WHERE, f"holds code ({entry.filename}), which is not run{HINT}")
            if name in seen or not name.isascii():
                raise TinydigitsError(_WHERE, f"holds {entry.filename!r} twice, or by a name that is no ASCII")
            seen.add(name)
            part = given.read(entry)
            if name.endswith(".json"):
                _look(json_tree(part.decode("utf-8", errors="replace"), _WHERE, as_written=True), "")
            taken.writestr(entry.filename, part)
    return file.getvalue()


def _look(value: Any, key: str) -> None:
    if isinstance(value, dict):
        for inner, found in value.items():
            _look(inner, "")
            if inner not in _QUOTED:
                _look(found, inner)
    elif isinstance(value, list):
        for found in value:
            _look(found, key)
    elif isinstance(value, str):
        is_plain = (
            _is_size(value) if key == "expr_str" else _is_container(value) if key in ("in_spec", "out_spec")
            else _WORD.fullmatch(value) and key not in _CODE
        )  # fmt: skip
        if not is_plain:
            raise TinydigitsError(_WHERE, f"holds {value[:60]!r} where a plain model has a name or a size")


def _is_container(text: str) -> bool:
    """How inputs or answers lie in tuples, lists and dicts."""

    def is_plain(tree: Any) -> bool:
        return (
            isinstance(tree, dict) and tree.keys() == {"type", "context", "children_spec"}
            and tree["type"] in _CONTAINERS and isinstance(tree["children_spec"], list)
            and (tree["context"] is None or bool(_CONTAINER.fullmatch(str(tree["context"]))))
            and all(is_plain(inner) for inner in tree["children_spec"])
        )  # fmt: skip

    if not text:
        return True
    tree = json_tree(text, _WHERE, as_written=True)
    return isinstance(tree, list) and len(tree) == 2 and isinstance(tree[0], int) and is_plain(tree[1])


def _is_size(text: str) -> bool:
    """Arithmetic on symbols, without powers: those of large numbers take for ever."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return (
        all(isinstance(node, _NODES) for node in nodes)
        and all(isinstance(called, ast.Name) for called in calls)
        and all(name in _ON_SIZES or re.fullmatch(r"[a-z]+\d+", name, re.ASCII) for name in names)
        and all(_WORD.fullmatch(found) for found in texts)
    )
