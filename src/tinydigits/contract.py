"""Contracts: TOML files of limits. A path in the file, such as `model.parameters`, names the check it asks for.

This module reads the file and knows nothing of torch; what each check's limits may say is known by the check itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from tinydigits.errors import TinydigitsError, explain_validation, unknown_name
from tinydigits.plugins import TomlFiles
from tinydigits.text import one_line, read_text, toml_tree

__all__ = ["Contract", "file", "from_tree", "load", "names"]

Limits = dict[str, Any]


class Contract(BaseModel):
    """What a model must hold to: groups of limits, each under the name of the check that measures it.

    >>> import tinydigits as td
    >>> contract = td.Contract(name="small", model={"parameters": {"max": 24_999}}, behaviour={"finite": True})
    >>> contract.limits(check_names=["model.parameters", "behaviour.finite"])
    {'model.parameters': {'max': 24999}, 'behaviour.finite': {}}

    `true` asks for a check with its own settings, a table changes them, `false` leaves the check out. A check's table
    may hold further checks:

    >>> contract = td.Contract(name="each", accuracy={"min": 0.99, "per_class": {"min": 0.98}})
    >>> contract.limits(check_names=["accuracy", "accuracy.per_class"])
    {'accuracy': {'min': 0.99}, 'accuracy.per_class': {'min': 0.98}}
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(one_line)] = Field(
        min_length=1, max_length=100, description="what the contract is called in verdicts"
    )
    description: str = Field(default="", description="one or two sentences: what is claimed, and by whom")
    model: Limits = Field(default_factory=dict, description="size and structure, read from the traced graph")
    shapes: Limits = Field(default_factory=dict, description="what goes in and what comes out")
    behaviour: Limits = Field(default_factory=dict, description="how the model acts: gradients, batches, modes")
    training: Limits = Field(default_factory=dict, description="what the training was allowed: epochs, memory")
    accuracy: Limits = Field(default_factory=dict, description="share of right answers on a named set and split")
    latency: Limits = Field(default_factory=dict, description="milliseconds for one batch")
    memory: Limits = Field(default_factory=dict, description="memory of inference")
    _text: str = PrivateAttr("")

    @property
    def text(self) -> str:
        """The contract as written; one that was made in Python is shown as JSON."""
        return self._text or json.dumps(self.model_dump(exclude_defaults=True), indent=2, sort_keys=True)

    @classmethod
    def with_text(cls, limits: dict[str, Any], text: str) -> Contract:
        """The contract of limits that were written as `text`."""
        contract = cls.model_validate(limits)
        contract._text = "" if contract.text == text else text
        return contract

    @property
    def sha256(self) -> str:
        """The hash of `text`, which says in a verdict exactly which limits were meant."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def limits(self, check_names: Iterable[str]) -> dict[str, Limits]:
        """Check name → its limits as written, in the file's order; `known` are the names of the checks that exist.

        Raises TinydigitsError, with the nearest names, for a path that leads to no check.
        """
        check_names = list(check_names)
        limits: dict[str, Limits] = {}
        for group in _groups():
            value = getattr(self, group)
            # A check's own table asks for the check even when it is empty; an empty group of checks asks for nothing.
            if value or (group in self.model_fields_set and group in check_names):
                self._collect(group, value, check_names, limits)
        if not limits:
            raise TinydigitsError(f"contract {self.name}", "asks for no check", expected="at least one")
        return limits

    def _collect(self, path: str, value: Any, check_names: list[str], limits: dict[str, Limits]) -> None:
        table = value if isinstance(value, dict) else {}
        if path in check_names:
            own = {key: limit for key, limit in table.items() if not _leads_to_a_check(f"{path}.{key}", check_names)}
            if value is True or own or (table == {} and isinstance(value, dict)):
                limits[path] = own
            elif not (value is False or table):
                raise TinydigitsError(
                    f"contract {self.name}: {path}", got=repr(value), expected="true, false or a table of limits"
                )
            table = {key: inner for key, inner in table.items() if key not in own}
        elif not (table and _leads_to_a_check(path, check_names)):
            raise unknown_name(f"contract {self.name}", path, check_names, kind="check")
        for key, inner in table.items():
            self._collect(f"{path}.{key}", inner, check_names, limits)


_CONTRACTS = TomlFiles("contract", Path(__file__).parent / "contracts", "under-25k")
names, file = _CONTRACTS.names, _CONTRACTS.find


def load(name_or_path: str | Path) -> Contract:
    """A contract by its name, or from a TOML file.

    >>> load("gap-cnn").model["parameters"]["max"]
    19999

    Raises TinydigitsError when it does not exist, is not TOML, or has a group that contracts do not have.
    """
    path = file(name_or_path)
    return parse(read_text(path, f"contract {name_or_path}"), where=str(name_or_path), name=path.stem)


def from_tree(tree: Mapping[str, Any]) -> Contract:
    """A contract from its tables, as a caller in Python has them.

    >>> from_tree({"model": {"parameters": {"max": 100}}}).text
    'name = "contract"\\n\\n[model.parameters]\\nmax = 100\\n'
    """
    import tomli_w

    return parse(tomli_w.dumps({"name": "contract", **tree}), where="as a dict", name="contract")


def parse(text: str, *, where: str, name: str) -> Contract:
    """A contract from the text of its TOML file; `name` is used when the file gives none.

    >>> parse("[model.parameters]\\nmax = 100", where="here", name="tiny").model
    {'parameters': {'max': 100}}
    """
    values = {"name": name} | toml_tree(text, f"contract {where}")
    known_keys = ["name", "description", *_groups()]
    try:
        contract = Contract.model_validate(values)
    except ValidationError as error:
        raise explain_validation(f"contract {where}", error, values, lambda location: known_keys) from error
    contract._text = text
    return contract


def _leads_to_a_check(path: str, check_names: list[str]) -> bool:
    return any(name == path or name.startswith(path + ".") for name in check_names)


def _groups() -> list[str]:
    return [name for name in Contract.model_fields if name not in ("name", "description")]
