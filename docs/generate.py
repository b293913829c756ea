"""Write the generated parts of README.md and docs/ anew, from the code that they describe.

    python docs/generate.py            # write them
    python docs/generate.py --check    # write nothing; exit 1 where one differs

A generated part stands between `<!-- generated: WHAT -->` and `<!-- end -->`; WHAT is a name in `PARTS`, or a command
line `$ tinydigits …` whose output it shows. The rest of a page is written by hand.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from typer.testing import CliRunner

sys.path.append(str(Path(__file__).parents[1]))  # beside the installed package

import tinydigits as td
from benchmarks import corpus, exports, frontier, pictures, results_page, service, sweeps
from benchmarks.provenance import short
from tinydigits import checks, contract, data, models, pretrained, recipe, sweep
from tinydigits.cli.main import app
from tinydigits.errors import DataUnavailable, Interrupted, TinydigitsError, TrainingDiverged
from tinydigits.exports import Exported, Parity
from tinydigits.finding import Finding
from tinydigits.models import WeightsCard
from tinydigits.prediction import Answer
from tinydigits.run import write_atomic
from tinydigits.trace import Trace
from tinydigits.training import Reporter

ROOT = Path(__file__).parents[1]
PART = re.compile(r"(?<=<!-- generated: )(?P<what>[^\n]+?)(?P<open> -->\n)(?P<text>.*?)(?P<close><!-- end -->)", re.S)
CONSOLE_COLUMNS = "110"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the generated parts of README.md and docs/ anew.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a part differs")
    options = parser.parse_args(arguments)
    stale = False
    for page in pages():
        found = page.read_text(encoding="utf-8")
        made = PART.sub(lambda part: f"{part['what']}{part['open']}{make(part['what'])}{part['close']}", found)
        if found == made:
            continue
        name = page.relative_to(ROOT)
        if options.check:
            stale = True
            lines = difflib.unified_diff(found.splitlines(), made.splitlines(), str(name), "the code", lineterm="")
            print("\n".join(lines))
        else:
            write_atomic(page, made)
            print(name)
    if stale:
        print("next: make docs")
    return int(stale)


def pages() -> list[Path]:
    """The pages that may have generated parts."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def make(what: str) -> str:
    """The text of one generated part, ending in a newline."""
    lines = console(what.removeprefix("$ ")) if what.startswith("$ ") else PARTS[what]()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"


def console(command: str) -> Iterator[str]:
    """A command and what it prints."""
    program, *words = shlex.split(command)
    assert program == "tinydigits", command
    answer = CliRunner().invoke(app, words, env={"COLUMNS": CONSOLE_COLUMNS}, catch_exceptions=False)
    yield "```console"
    yield f"$ {command}"
    yield from (line.rstrip() for line in answer.output.rstrip().splitlines())
    yield "```"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""


# What there is: models, recipes, contracts, data sets.


def list_models() -> Iterator[str]:
    yield from table(["model", "architecture"], ([f"`{name}`", models.summary(name)] for name in models.names()))


def list_recipes() -> Iterator[str]:
    rows = []
    for name in recipe.names():
        found = recipe.load(name)
        mark = " (default)" if name == recipe.DEFAULT else ""
        claim = f"`{found.contract}`" if found.contract else ""
        rows.append(
            [f"`{name}`{mark}", f"`{found.model.name}`", found.data.source, str(found.epochs), claim, found.description]
        )
    yield from table(["recipe", "model", "data", "epochs", "contract", "what it is"], rows)


def list_sweeps() -> Iterator[str]:
    found = [sweep.load(name) for name in sweep.names()]
    yield from table(
        ["sweep", "recipe", "what it asks"], ([f"`{s.name}`", f"`{s.recipe}`", s.description] for s in found)
    )


def list_sweep_fields() -> Iterator[str]:
    schema = sweep.Sweep.model_json_schema()
    schema["required"].remove("name")  # `sweep.load` fills it in
    schema["properties"]["name"]["default"] = "the file's name"
    yield from fields_of(schema, {})


def list_contracts() -> Iterator[str]:
    rows = ([f"`{name}`", contract.load(name).description] for name in contract.names())
    yield from table(["contract", "claim"], rows)


def list_datasets() -> Iterator[str]:
    rows = []
    for name in data.names():
        facts = data.describe(name)
        images = f"{facts.num_train:,} + {facts.num_test:,}"
        rows.append([f"`{name}`", facts.title, images, str(len(facts.classes)), facts.licence])
    yield from table(["data set", "what it is", "training + test images", "classes", "licence"], rows)


# The fields of recipes and contracts, from their pydantic types.


def list_recipe_fields() -> Iterator[str]:
    schema = recipe.Recipe.model_json_schema()
    schema["required"].remove("name")  # `recipe.load` fills it in
    schema["properties"]["name"]["default"] = "the file's name"
    yield "### Top level"
    yield from fields_of(schema, schema["$defs"])
    for key, field in schema["properties"].items():
        parts = list(tables_of(field))
        brackets = f"`[[{key}]]`" if field.get("type") == "array" else f"`[{key}]`"
        for part in parts:
            found = schema["$defs"][part]
            tag = found["properties"].get("name", {}).get("const") if len(parts) > 1 or key == "average" else None
            yield f"### {brackets}" + (f" with `name = {as_toml(tag)}`" if tag else "")
            yield from fields_of(found, schema["$defs"])


def tables_of(field: dict[str, Any]) -> Iterator[str]:
    """The names of the tables that a field may be: references, however deep in unions and lists."""
    if "$ref" in field:
        yield field["$ref"].rpartition("/")[2]
    for inner in [*field.get("anyOf", []), *field.get("oneOf", []), *filter(None, [field.get("items")])]:
        yield from tables_of(inner)


def fields_of(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    """A type's docstring without its examples, and its fields."""
    yield ""
    yield schema.get("description", "").partition(">>>")[0].strip()
    rows = []
    for key, field in schema.get("properties", {}).items():
        required = key in schema.get("required", [])
        inner = list(tables_of(field))
        default = "required" if required else "" if inner or "default" not in field else as_code(field["default"])
        value = words(field) if not inner else "one of the tables below" if len(inner) > 1 else "table, below"
        rows.append([f"`{key}`", value, default, field.get("description", "")])
    if any(row[3] for row in rows):
        yield from table(["key", "value", "default", "meaning"], rows)
    elif rows:
        yield from table(["key", "value", "default"], (row[:3] for row in rows))


def words(field: dict[str, Any]) -> str:
    """A JSON schema's type and range, in words."""
    if "const" in field:
        return as_code(field["const"])
    if "enum" in field:
        return " or ".join(as_code(value) for value in field["enum"])
    if "anyOf" in field:
        return ", or ".join(words(option) for option in field["anyOf"] if option.get("type") != "null")
    kind = field.get("type", "any value")
    if kind == "array":
        if "prefixItems" in field:
            return f"[{', '.join(words(item) for item in field['prefixItems'])}]"
        return f"list of: {words(field['items'])}"
    if kind == "object":
        inner = field.get("additionalProperties")
        return f"table of: {words(inner)}" if isinstance(inner, dict) else "table"
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    # Above 2^53 the bound is that of the machine's own numbers and tells a reader nothing.
    bounds = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field and field[key] < 2**53]
    return " ".join([names.get(kind, kind), " and ".join(bounds)]).strip()


def as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def as_code(value: Any) -> str:
    return "none" if value is None or value in ("", [], {}) else f"`{as_toml(value)}`"


def list_groups() -> Iterator[str]:
    """The top level of a contract."""
    fields = contract.Contract.model_fields
    known = checks.names()
    rows = []
    for name, field in fields.items():
        own = [f"`{check}`" for check in known if check.partition(".")[0] == name]
        rows.append([f"`{name}`" if not own else f"`[{name}]`", field.description or "", ", ".join(own)])
    yield from table(["key", "meaning", "checks"], rows)


def list_checks() -> Iterator[str]:
    for name in checks.names():
        check = checks.get(name)
        yield f"### `{name}`"
        yield ""
        yield check.doc
        yield ""
        example = " ".join((check.limits.__doc__ or "").partition(">>>")[0].split())
        yield f"In a contract: {example}"
        yield ""
        yield f"Where it does not pass: {check.advice}"
        yield from limits_of(check.limits)
        yield ""


def limits_of(limits: type[BaseModel]) -> Iterator[str]:
    schema = limits.model_json_schema() | {"description": ""}
    yield from fields_of(schema, schema.get("$defs", {}))


def show_verdict(name: str) -> Iterator[str]:
    """The findings of a shipped model, as `tinydigits verify NAME` gives them."""
    verdict = pretrained.find(name).verdict
    yield from table(
        ["check", "measured", "limit", "finding"],
        ([finding.check, finding.measured, finding.limit, finding.status] for finding in verdict.findings),
    )
    yield (
        f"`tinydigits verify {name}`, against `{verdict.contract.name}`: {verdict.word}, on "
        f"{verdict.verified_at[:10]}, of the weights with SHA-256 {short(str(verdict.target.weights_sha256))}…."
    )


# The command line, from the same objects that `--help` is made of.


def list_commands() -> Iterator[str]:
    yield from describe_command("tinydigits", typer.main.get_command(app), level=2)


def describe_command(path: str, command: Any, level: int) -> Iterator[str]:
    arguments = [parameter for parameter in command.params if not parameter.opts[0].startswith("-")]
    options = [parameter for parameter in command.params if parameter.opts[0].startswith("-")]
    options = [option for option in options if option.name not in ("help", "install_completion", "show_completion")]
    inner = getattr(command, "commands", {})
    usage = [path, "[OPTIONS]" if options else "", *map(metavar, arguments), "COMMAND" if inner else ""]
    yield f"{'#' * level} `{' '.join(filter(None, usage))}`"
    yield ""
    yield (command.help or "").strip()
    if arguments or options:
        rows = [[f"`{metavar(argument)}`", argument.help or ""] for argument in arguments]
        rows += [[describe_flags(option), describe_option(option)] for option in options]
        yield from table(["argument or option", "meaning"], rows)
    yield ""
    for name in inner:
        yield from describe_command(f"{path} {name}", command.get_command(None, name), level + (path != "tinydigits"))


def metavar(argument: Any) -> str:
    name = argument.metavar or (argument.name.upper() if argument.required else f"[{argument.name.upper()}]")
    return f"{name}..." if argument.nargs == -1 else name


def describe_flags(option: Any) -> str:
    value = "" if option.is_flag else " " + (option.metavar or option.name.upper())
    longest_first = sorted(option.opts, key=len, reverse=True)
    return ", ".join(f"`{flag}{value if flag is longest_first[0] else ''}`" for flag in longest_first)


def describe_option(option: Any) -> str:
    has_default = not option.is_flag and option.default not in (None, [], ())
    return (option.help or "") + (f" Default: `{option.default}`." if has_default else "")


# Python, from the docstrings of its public names.


_ALIASES = {"Text": "str", "_Details": "dict[str, Any]"}  # a type's own names for types with validators


def list_python() -> Iterator[str]:
    for name in sorted(td.__all__, key=lambda name: (name[0].isupper(), name)):
        if name != "__version__":
            yield from describe_python(f"td.{name}", getattr(td, name))


def list_given() -> Iterator[str]:
    for given in (Finding, Answer, Exported, Parity, Trace, WeightsCard, Reporter):
        yield from describe_python(".".join([*given.__module__.split(".")[:2], given.__name__]), given)


def list_errors() -> Iterator[str]:
    for error in (TinydigitsError, TrainingDiverged, Interrupted, DataUnavailable):
        yield from describe_python(f"tinydigits.errors.{error.__name__}", error)


def describe_python(name: str, described: Any) -> Iterator[str]:
    """A function's signature, a class's attributes and methods, and the docstring, its examples apart."""
    yield f"### `{name}`"
    yield ""
    if inspect.isfunction(described):
        yield "```python"
        yield f"{name}{signature(described)}"
        yield "```"
        yield ""
    is_example = False
    for line in [*(inspect.getdoc(described) or "").splitlines(), ""]:
        starts = line.startswith(">>>") and not is_example
        if starts:
            yield from ("", "```pycon")
        elif is_example and not line:
            yield "```"
        is_example = starts or (is_example and bool(line))
        yield line
    if inspect.isclass(described) and (rows := list(members(described))):
        yield from table(["attribute or method", "what it is"], rows)
    yield ""


def signature(function: Callable[..., Any]) -> str:
    """A parameter a line, without the types that the docstring has in words."""
    bare = inspect.signature(function)
    parameters = [one.replace(annotation=inspect.Parameter.empty) for one in bare.parameters.values()]
    text = str(bare.replace(parameters=parameters, return_annotation=inspect.Signature.empty)).replace("'", '"')
    return text if len(text) < 90 else "(\n    " + text[1:-1].replace(", ", ",\n    ") + ",\n)"


def members(described: type) -> Iterator[list[str]]:
    """What a class has of its own: its fields with their types, then its properties and methods."""
    fields = getattr(described, "model_fields", {})
    if described not in (td.Recipe, td.Contract):  # whose fields have pages of their own
        for name, kind in inspect.get_annotations(described).items():
            if not name.startswith("_") and "ClassVar" not in str(kind):
                yield [f"`{name}`", f"`{_ALIASES.get(kind, kind)}`"]
    for name, member in vars(described).items():
        if name.startswith(("_", "model_")) or name in fields:
            continue
        first = " ".join((inspect.getdoc(member) or "").partition("\n\n")[0].split())
        if isinstance(member, property | cached_property):
            yield [f"`{name}`", first]
        elif inspect.isfunction(member):
            yield [f"`{name}{signature(member).replace('(self, ', '(').replace('(self)', '()')}`", first]


PARTS: dict[str, Callable[[], Iterable[str]]] = {
    "models": list_models,
    "recipes": list_recipes,
    "sweeps": list_sweeps,
    "sweep fields": list_sweep_fields,
    "sweep speed": lambda: [sweeps.part()],
    "contracts": list_contracts,
    "datasets": list_datasets,
    "recipe fields": list_recipe_fields,
    "groups": list_groups,
    "checks": list_checks,
    "corpus": lambda: [corpus.part()],
    "commands": list_commands,
    "python": list_python,
    "python given": list_given,
    "python errors": list_errors,
    "results": lambda: [results_page.part()],
    "records": lambda: [frontier.part()],
    "service": lambda: [service.part()],
    "pictures": lambda: [pictures.part()],
    "export formats": lambda: [exports.formats()],
    "verdict of gap-cnn-tuned": lambda: show_verdict("gap-cnn-tuned"),
}

if __name__ == "__main__":
    sys.exit(main())
