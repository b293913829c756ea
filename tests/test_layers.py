"""The house: imports go down only, rooms on one floor do not know each other, importing is light, modules are short."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import tinydigits

SOURCE = Path(tinydigits.__file__).parent
FLOORS = (
    {"environment", "errors", "origin", "stats", "machine", "quiet", "signals"},
    {"archive", "bounds", "compiler", "escape", "extras", "figures", "messages", "plugins", "sandbox", "table", "text"},
    {"documents", "finding", "onnx_graph"},
    {"contract", "verdict"},
    {"models", "data", "recipe", "run"},
    {"evaluate", "kernels", "optim", "page", "pretrained", "trace"},
    {"training", "checks"},
    {"verification", "exports"},
    {"report", "sweep", "prediction", "progress"},
    {"serve", "scaffold", "library"},
    {"cli", "pytest_plugin"},
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
TOP = len(FLOORS)  # __init__ and __main__ stand above all rooms; __init__ may import none, see below

MODULES = sorted(SOURCE.rglob("*.py"))
# What names a heap, not a thing.
HEAPS = {"utils", "util", "common", "helpers", "helper", "misc", "base", "core"}
MAX_LINES = 350
HEAVY = ("torch", "scipy", "sklearn", "onnxruntime", "optuna")
LIGHT_ROOMS = [
    "", "cli", "pytest_plugin", "data", "recipe", "run", "contract", "errors", "machine", "models", "onnx_graph",
    "prediction", "pretrained", "stats", "text", "verdict",
]  # fmt: skip


@dataclass(frozen=True)
class Import:
    """`module` takes `name` (empty: the module itself) from `target`, a dotted path inside the package."""

    module: str
    target: str
    name: str

    @property
    def rooms(self) -> tuple[str, str]:
        return room_of(self.module), room_of(self.target)

    def __str__(self) -> str:
        return f"{self.module} imports {self.target}{'.' if self.name else ''}{self.name}"


def dotted(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def is_module(name: str) -> bool:
    path = SOURCE.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def imports_of(path: Path) -> Iterator[Import]:
    """Every import of the package itself, also those inside functions and under TYPE_CHECKING."""
    module = dotted(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "tinydigits":
                    yield Import(module, alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: line {node.lineno}: relative imports hide where an arrow goes"
            source = node.module or ""
            if source.split(".")[0] == "tinydigits":
                for alias in node.names:
                    whole = f"{source}.{alias.name}"
                    yield Import(module, whole, "") if is_module(whole) else Import(module, source, alias.name)


IMPORTS = [found for path in MODULES for found in imports_of(path)]


def test_every_module_stands_on_a_floor() -> None:
    strangers = {dotted(path) for path in MODULES if room_of(dotted(path)) not in {*FLOOR_OF, "", "__main__"}}
    assert not strangers
    assert len(IMPORTS) > 100, "the reader of imports finds next to nothing"


def test_imports_go_down_only_and_rooms_on_one_floor_do_not_know_each_other() -> None:
    wrong = []
    for found in IMPORTS:
        importer, imported = found.rooms
        if importer != imported and FLOOR_OF.get(imported, TOP) >= FLOOR_OF.get(importer, TOP):
            wrong.append(str(found))
    assert not wrong


def public_names(module: str) -> set[str]:
    path = SOURCE.parent.joinpath(*module.split("."))
    tree = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def test_a_room_takes_only_public_names_from_another() -> None:
    """A name of its `__all__`, from a module without a leading underscore."""
    wrong = []
    for found in IMPORTS:
        importer, imported = found.rooms
        if importer == imported or not imported:
            continue
        is_private = any(part.startswith("_") for part in found.target.split("."))
        if is_private or (found.name and found.name not in public_names(found.target)):
            wrong.append(str(found))
    assert not wrong


def test_what_reports_to_its_maker_is_imported_with_that_switched_off() -> None:
    """Nothing but `telemetry_off` stands between such an import and a network; so also in tests and benchmarks."""
    wrong, num_imports = [], 0
    for path in (*MODULES, *Path(__file__).parent.rglob("*.py"), *Path(__file__).parents[1].glob("benchmarks/**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        blocks = [node for node in ast.walk(tree) if isinstance(node, ast.With)]
        off = [node for node in blocks if any(ast.unparse(one.context_expr) == "telemetry_off()" for one in node.items)]
        inside = {one for block in off for one in ast.walk(block)}
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] in ("onnxruntime", "mlflow") for name in names):
                num_imports += 1
                wrong += [] if node in inside else [f"{path}: line {node.lineno}"]
    assert not wrong and num_imports > 5


def test_the_package_itself_loads_no_room_before_it_is_used() -> None:
    code = "import sys, tinydigits; print(*[name for name in sys.modules if name.startswith('tinydigits.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_is_short_and_its_names_say_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES
    assert not HEAPS & {part.strip("_") for part in dotted(path).split(".")}
    classes = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    assert not [name for name in classes if name.endswith(("Manager", "Helper", "Util", "Utils"))]
    assert ast.get_docstring(ast.parse(text)), "a module says in one sentence what it is"


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_importing_is_light(room: str) -> None:
    """`--help`, `ls` and all that only reads files start without the libraries that take seconds."""
    code = f"""
import sys
import tinydigits{room and f".{room}"}
print(*[name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
