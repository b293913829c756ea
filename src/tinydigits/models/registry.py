"""From a model's name to a module: registered names, `path/to/file.py:Class`, `package.module:Class`."""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import inspect
import itertools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, ValidationError, create_model

from tinydigits.errors import TinydigitsError, explain_validation, foreign_code, unknown_name
from tinydigits.models.allowed import IN_MEMORY, allow, forget_namesakes, in_memory
from tinydigits.plugins import Plugins

if TYPE_CHECKING:
    from torch import nn

__all__ = ["build", "find", "find_function", "hold", "module_file", "names", "summary"]

_HINT = "a class of your own as path/to/file.py:Class"
_MODELS: Plugins[ModuleType] = Plugins(
    "tinydigits.models", "", where="model", kind="model", hint=_HINT, but={"allowed", "registry", "weights"}
)
_GUARD = 'put what the script does under `if __name__ == "__main__":`'


def names() -> list[str]:
    """The registered models, by name.

    >>> "gap-cnn" in names()
    True
    """
    return _MODELS.names()


def summary(name: str) -> str:
    """The first line of a registered model's docstring, read without importing it (or torch).

    >>> summary("two-conv")
    'Two 3×3 convolutions, each with a max-pool, and a two-layer head with dropout: 13,242 parameters.'
    """
    tree = ast.parse(module_file(name).read_text(encoding="utf-8"))
    public = next(node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))
    return (ast.get_docstring(public) or "").splitlines()[0]


def module_file(name: str) -> Path:
    """The source file of a registered model.

    >>> module_file("se-resnet").name
    'se_resnet.py'
    """
    return _MODELS.file(name)


def build(spec: str, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a model, freshly initialised from torch's global generator, in train mode on the CPU.

    >>> sum(parameter.numel() for parameter in build("gap-cnn", {"dropout": 0.05}).parameters())
    9274

    `spec` is a registered name, `path/to/file.py:Class` or `package.module:Class`; `options` are the class's keyword
    arguments, checked against its annotations (`Annotated[float, Field(ge=0, lt=1)]` gives a range). Naming a file runs
    it: only name files that you trust. Raises TinydigitsError for a name, file, class or option that does not fit.
    """
    from torch import nn

    builder = find(spec)
    where = f"model {spec}"
    with foreign_code(where, "when it is built"):
        if not isinstance(builder, nn.Module) and not (inspect.isclass(builder) and issubclass(builder, nn.Module)):
            raise TinydigitsError(where, got=f"{builder!r}", expected="a subclass of torch.nn.Module")
        try:
            if isinstance(builder, nn.Module):
                return copy.deepcopy(builder)
            return builder(**_check_options(where, builder, dict(options or {})))
        except TinydigitsError:
            raise
        except Exception as error:  # a user's class may fail in any way
            raise TinydigitsError(where, f"could not be built: {type(error).__name__}: {error}") from error


def find_function(spec: str) -> Callable[[Any, Any], Any]:
    """The function of `file.py:train` or `package.module:train`; raises TinydigitsError where there is none."""
    function = find(spec)
    if not callable(function) or isinstance(function, type):
        raise TinydigitsError(f"--train {spec}", got=repr(function), expected="a function train(model, data)")
    return function


def find(spec: str) -> Any:
    """What `file.py:name` or `package.module:name` names; for a registered name its class.

    >>> find("gap-cnn").__name__, find("math:sqrt")(4)
    ('GapCNN', 2.0)

    Naming a file runs it, and allows later readers to run it again. Raises TinydigitsError for a file, a module or a
    name that does not exist.
    """
    allow(spec)
    if ":" not in spec:
        module = _MODELS.get(spec)
        return getattr(module, module.__all__[0])
    if spec in in_memory:
        return in_memory[spec]
    place, _, class_name = spec.rpartition(":")
    with foreign_code(f"model {spec}", "when it is imported", hint=_GUARD):
        module = _import_file(spec, Path(place)) if place.endswith(".py") else _import_package(spec, place)
        if not hasattr(module, class_name):
            from torch import nn

            candidates = [
                key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, nn.Module)
            ]
            raise unknown_name(f"model {spec}", class_name, candidates, kind="class")
        return getattr(module, class_name)


def hold(model: type[nn.Module] | nn.Module) -> str:
    """Keep a class or a module of this Python session under a name that `build` takes; gives the name.

    >>> from torch import nn
    >>> hold(nn.Linear(2, 1)), hold(nn.Flatten)[-19:]
    ('in-memory:Linear', '/flatten.py:Flatten')

    A class is built anew each time. It is called `path/to/file.py:Class` where it stands in a file, so that a later
    process finds it too. Of a module a copy is given, with the weights that it has then.
    """
    spec = _file_spec(model) if inspect.isclass(model) else None
    if spec is None:
        name = IN_MEMORY + (model.__name__ if inspect.isclass(model) else type(model).__name__)
        specs = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
        spec = next(spec for spec in specs if in_memory.get(spec, model) is model)
    in_memory[spec] = model
    allow(spec, lasting=not spec.startswith(IN_MEMORY))
    return spec


def _file_spec(model: type) -> str | None:
    """`path/to/file.py:Class` of a class that stands in a file under this name; a notebook's cell is none."""
    module = sys.modules.get(model.__module__)
    path, is_global = str(getattr(module, "__file__", None)), getattr(module, model.__name__, None) is model
    return f"{path}:{model.__name__}" if path.endswith(".py") and is_global else None


def _import_file(spec: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise TinydigitsError(f"model {spec}", f"no file {path}", hint="a path relative to the current folder")
    # A name of its own keeps the user's model.py from shadowing, or being shadowed by, another module.
    module_name = f"_tinydigits_user_{path.stem}_{abs(hash(path.resolve()))}"
    module_spec = importlib.util.spec_from_file_location(module_name, path)
    assert module_spec is not None and module_spec.loader is not None
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_name] = module
    # The file may import its neighbours, as it could when run as a script.
    forget_namesakes(spec)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        raise TinydigitsError(f"model {spec}", f"{path} does not import: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _import_package(spec: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise TinydigitsError(
            f"model {spec}",
            f"module {name!r} does not import: {type(error).__name__}: {error}",
            hint="path/to/file.py:Class for a file outside the Python path",
        ) from error


def _check_options(where: str, builder: type, options: dict[str, Any]) -> dict[str, Any]:
    """Check keyword arguments against the constructor's annotations, ranges included."""
    parameters = inspect.signature(builder.__init__, eval_str=True).parameters  # type: ignore[misc]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return options
    fields: dict[str, Any] = {}
    for name, parameter in list(parameters.items())[1:]:
        annotation = Any if parameter.annotation is parameter.empty else parameter.annotation
        fields[name] = (annotation, ... if parameter.default is parameter.empty else parameter.default)
    strict = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    checker = create_model("Model", options=(create_model("Options", __config__=strict, **fields), ...))
    try:
        values = checker(options=options)
    except ValidationError as error:
        raise explain_validation(where, error, {"options": options}, lambda location: fields) from error
    return {name: getattr(values.options, name) for name in options}  # type: ignore[attr-defined]
