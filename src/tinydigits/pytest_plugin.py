"""The pytest plugin: each check of a contract is a test, for a file of tests or for the command line.

    pytest --tinydigits-contract contract.toml --tinydigits-target model.py:Net

Where nothing is asked of it, it imports nothing but pytest: torch comes with the first contract that is collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tinydigits.verification import Case

__all__ = ["ContractTests", "contract_tests"]

_OPTIONS = {
    "contract": "A contract's name or TOML file: each of its checks becomes a test.",
    "target": "What is judged: a run, a registered model, or file.py:Class; the latest run by default.",
    "weights": "Weights for a class: a state dict as .safetensors, .pt or .pth.",
    "model": "The code that a run, or weights, are of: file.py:Class, where you trust it.",
    "data": "Measure accuracy on this data set instead.",
}


@dataclass(frozen=True)
class ContractTests:
    """What `contract_tests` gives; pytest makes a test of each check."""

    contract: str
    target: str | None = None
    weights: str | None = None
    data: str | None = None
    model: str | None = None

    def beside(self, folder: Path) -> ContractTests:
        """The same, with the files that are there named in full."""
        return ContractTests(**{name: value and _find(folder, value) for name, value in vars(self).items()})


def contract_tests(
    contract: str | Path,
    target: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    data: str | Path | None = None,
    model: str | None = None,
) -> ContractTests:
    """Every check of a contract as a test of its own, in a file of tests.

    >>> test_contract = contract_tests("under-25k", "two-conv")

    Paths are relative to that file. Without a target the latest run in `runs` beside it is judged. The arguments are
    those of `tinydigits verify`; an error in them is an error of each test.
    """
    given = (None if value is None else str(value) for value in (target, weights, data, model))
    return ContractTests(str(contract), *given)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tinydigits", "a contract's checks as tests")
    for name, words in _OPTIONS.items():
        group.addoption(f"--tinydigits-{name}", metavar=name.upper(), help=words)
        parser.addini(f"tinydigits_{name}", words)


def pytest_configure(config: pytest.Config) -> None:
    given = {name: config.getoption(f"tinydigits_{name}") for name in _OPTIONS}
    written = {name: config.getini(f"tinydigits_{name}") or None for name in _OPTIONS}
    if any(given.values()) and not (given["contract"] or written["contract"]):
        raise pytest.UsageError("--tinydigits-contract is needed: which contract?")
    if given["contract"] or written["contract"]:
        here, root = config.invocation_params.dir, (config.inipath or config.rootpath / "_").parent
        fields = {name: (value and _find(root, value)) for name, value in written.items()}
        fields |= {name: _find(here, value) for name, value in given.items() if value}
        tests = ContractTests(**fields)  # type: ignore[arg-type]
        folder = here if given["contract"] else root
        config.pluginmanager.register(_Collection(config, tests, folder, given["contract"] is not None))


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> pytest.Collector | None:
    if not isinstance(obj, ContractTests):
        return None
    tests = obj.beside(collector.path.parent)
    return _ContractNode.from_parent(collector, name=name, tests=tests, folder=collector.path.parent)


class _Collection:
    """Lets pytest collect the file of the contract that options name."""

    def __init__(self, config: pytest.Config, tests: ContractTests, folder: Path, by_option: bool) -> None:
        from tinydigits import contract
        from tinydigits.errors import unknown_name

        self.tests, self.folder = tests, folder
        self.is_shipped = tests.contract in contract.names()
        self.path = contract.file(tests.contract) if self.is_shipped else Path(tests.contract).resolve()
        if not self.path.is_file():
            error = unknown_name("", tests.contract, contract.names(), kind="contract")
            raise pytest.UsageError(
                f"--tinydigits-contract {tests.contract}: no such file, nor {error.expected}"
                + (f"\n  try: {error.hint}" if error.hint else "")
            )
        # Whoever names tests on the command line wants those, and the contract only if it is named there as well.
        self.wanted = by_option or config.args_source is not pytest.Config.ArgsSource.ARGS
        places = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
        if self.wanted and not any(self.path.is_relative_to(place) for place in places):
            config.args.append(str(self.path))

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if file_path.name != self.path.name or file_path.resolve() != self.path:
            return None
        facts: dict[str, Any] = {"path": file_path, "tests": self.tests, "folder": self.folder}
        if self.is_shipped:
            facts["nodeid"] = self.path.name  # not its long way through site-packages
        return _ContractFile.from_parent(parent, **facts)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        if self.wanted and not session.testsfailed and not any(isinstance(item, _CheckItem) for item in items):
            raise pytest.UsageError(f"{self.path}: pytest does not look into its folder; name the file as well")


class _Checks(pytest.Collector):
    """A contract and its checks. Target and model are looked at by the first test, not while collecting."""

    def __init__(self, *, tests: ContractTests, folder: Path, **facts: Any) -> None:
        super().__init__(**facts)
        self.tests, self.folder = tests, folder
        self._case: Case | Exception | None = None

    def collect(self) -> Iterator[pytest.Item]:
        from tinydigits import checks, contract
        from tinydigits.errors import TinydigitsError

        try:
            bound = checks.bind(contract.load(self.tests.contract))
        except TinydigitsError as error:
            raise self.CollectError(str(error)) from error
        # Code of the user's own is asked this too, whatever the contract says; whose it is, the first test finds out.
        for name in dict.fromkeys([*(check.name for check, _ in bound), "model.graph"]):
            yield _CheckItem.from_parent(self, name=name)

    def case(self) -> Case:
        """The target with its contract; one that cannot be had is an error of every test."""
        from tinydigits.errors import TinydigitsError
        from tinydigits.verification import Request, prepare

        if self._case is None:
            try:
                self._case = prepare(Request(runs=str(self.folder / "runs"), **vars(self.tests)))
            except TinydigitsError as error:
                self._case = error
        if isinstance(self._case, Exception):
            pytest.fail(str(self._case), pytrace=False)
        return self._case


class _ContractFile(_Checks, pytest.File):
    """A contract that options name: its tests are `contract.toml::model.parameters` and so on."""


class _ContractNode(_Checks):
    """A contract in a file of tests: `test_model.py::test_contract::model.parameters` and so on."""


class _CheckItem(pytest.Item):
    """One check. What is undecided or was not run fails, as it does in the verdict."""

    def setup(self) -> None:
        self._checks.case()

    def runtest(self) -> None:
        from tinydigits.errors import TinydigitsError

        case = self._checks.case()
        found = [pair for pair in case.checks if pair[0].name == self.name]
        if not found:
            pytest.skip("the model has no code but tinydigits' own or none at all")
        try:
            finding = case.put(*found[0])
        except TinydigitsError as error:  # the model ends the process
            pytest.fail(str(error), pytrace=False)
        facts = {"finding": finding.status, "measured": finding.measured, "limit": finding.limit}
        self.user_properties.extend(facts.items())
        if finding.status != "pass":
            lines = [finding.sentence, finding.why, finding.advice and f"What to do: {finding.advice}"]
            pytest.fail("\n".join(filter(None, lines)), pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"{self.parent.name if self.parent else ''}: {self.name}"

    @property
    def _checks(self) -> _Checks:
        assert isinstance(self.parent, _Checks)
        return self.parent


def _find(folder: Path, text: str) -> str:
    """A file named in full where it is there; else the text, which is then a registered name, or a mistake.

    `latest` stays what it is: the newest run of the folder `runs`.
    """
    if text == "latest":
        return text
    place, colon, class_name = text.rpartition(":")
    if not place.endswith(".py"):
        place, colon, class_name = text, "", ""
    path = folder / place
    is_latest = path.name == "latest" and path.parent.is_dir()  # by whose name nothing need be there
    return f"{path}{colon}{class_name}" if path.exists() or is_latest else text
