"""The supply chain: bounds in pyproject.toml, exact versions and hashes in requirements.lock, and who installs them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from ruamel.yaml import YAML

from tests.conftest import APART

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
SYSTEMS = {
    f"Python {python} on {system}": {
        "python_version": python, "python_full_version": f"{python}.9", "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[system],
        "os_name": "nt" if system == "win32" else "posix", "platform_machine": "x86_64",
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }
    for python in ("3.11", "3.12", "3.13")
    for system in ("linux", "darwin", "win32")
}  # fmt: skip


@dataclass(frozen=True)
class Locked:
    """One entry of the lock."""

    requirement: Requirement
    hashes: tuple[str, ...]

    @property
    def version(self) -> Version:
        return Version(str(self.requirement.specifier).removeprefix("=="))


def entries() -> list[Locked]:
    lines = [
        line for line in LOCK.replace("\\\n", " ").splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    found = []
    for line in lines:
        text, *hashes = re.split(r"\s+--hash=", line)
        found.append(Locked(Requirement(text.strip()), tuple(one.strip() for one in hashes)))
    return found


def in_use(system: dict[str, str]) -> dict[str, Locked]:
    environment = {**default_environment(), **system}
    return {
        canonicalize_name(one.requirement.name): one
        for one in entries()
        if one.requirement.marker is None or one.requirement.marker.evaluate(environment)
    }


def required(extra: str | None) -> list[Requirement]:
    """What an extra asks for, with the extras that it names, or the package itself."""
    project = PROJECT["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    found = []
    for requirement in map(Requirement, lines):
        if requirement.name == project["name"]:
            found += [one for name in requirement.extras for one in required(name)]
        else:
            found.append(requirement)
    return found


def everything() -> list[Requirement]:
    named = [one for extra in (None, *PROJECT["project"]["optional-dependencies"]) for one in required(extra)]
    named += [Requirement(line) for line in PROJECT["build-system"]["requires"]]
    return sorted(set(named), key=str)  # the tests' processes must name them in the same order


@pytest.mark.parametrize("requirement", everything(), ids=lambda one: one.name)
def test_every_dependency_has_a_least_version_and_an_upper_bound(requirement: Requirement) -> None:
    operators = {one.operator for one in requirement.specifier}
    assert operators >= {">=", "<"} and not operators & {"==", "===", "~="}, requirement
    assert requirement.url is None


def test_the_lock_names_exact_versions_and_hashes_and_no_place() -> None:
    found = entries()
    assert len(found) > 80
    for one in found:
        assert re.fullmatch(r"==[\w.+!]+", str(one.requirement.specifier)), one
        assert one.hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in one.hashes), one
        assert one.requirement.url is None and not one.requirement.extras
    assert "://" not in LOCK and "--index" not in LOCK and "--find-links" not in LOCK


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS.keys())
def test_the_lock_has_what_pyproject_asks_for_within_its_bounds(system: dict[str, str]) -> None:
    locked, environment = in_use(system), {**default_environment(), **system}
    for requirement in [*required(None), *required("dev"), *map(Requirement, PROJECT["build-system"]["requires"])]:
        if requirement.name == "torch" or (requirement.marker and not requirement.marker.evaluate(environment)):
            continue
        one = locked.get(canonicalize_name(requirement.name))
        assert one is not None, f"{requirement.name} is not in the lock: tools/lock"
        assert requirement.specifier.contains(one.version), f"{requirement} against {one.version}: tools/lock"
    assert not Marker("sys_platform == 'linux'").evaluate({**environment, "sys_platform": "win32"})  # markers are read


def test_no_extra_is_left_out_of_dev_but_those_that_are_too_large() -> None:
    in_dev = {one.name for one in required("dev")}
    for extra in PROJECT["project"]["optional-dependencies"].keys() - APART.keys():
        assert {one.name for one in required(extra)} <= in_dev, f"the lock lacks what {extra} brings"


def test_torch_alone_is_pinned_apart_and_the_pins_agree() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = {one.name: one for one in map(Requirement, re.findall(r"^[a-z][\w.-]*==[\w.]+", text, re.MULTILINE))}
    names = {one.requirement.name for one in entries()}
    assert "torch" in pins and not any(re.match(r"torch|triton|nvidia-|cuda-", name) for name in names)
    for one in entries():
        pin = pins.get(one.requirement.name)
        assert pin is None or pin.specifier.contains(one.version), f"{pin} against {one.version}"
    torch = next(one for one in required(None) if one.name == "torch")
    assert torch.specifier.contains(next(iter(pins["torch"].specifier)).version)


def test_pip_refuses_a_file_that_is_not_the_one_that_was_locked(tmp_path: Path) -> None:
    from zipfile import ZipFile

    one = next(one for one in entries() if one.requirement.name == "iniconfig")
    info = f"iniconfig-{one.version}.dist-info"
    with ZipFile(tmp_path / f"iniconfig-{one.version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("iniconfig.py", "print('not iniconfig')")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: iniconfig\nVersion: {one.version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    lines = f"{one.requirement} " + " ".join(f"--hash={digest}" for digest in one.hashes)
    (tmp_path / "lock").write_text(lines, encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--isolated", "download", "--no-index", "--find-links", str(tmp_path)]
    command += [
        "--no-deps",
        "--dest",
        str(tmp_path / "to"),
        "--require-hashes",
        "--requirement",
        str(tmp_path / "lock"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "DO NOT MATCH THE HASHES" in done.stderr


def test_continuous_integration_installs_from_the_lock_wheels_alone() -> None:
    install = (ROOT / "tools" / "install").read_text(encoding="utf-8")
    locked = install.partition("= 1 ]; then")[2].partition("\nelse")[0]
    for words in (
        "--require-hashes",
        "--only-binary :all:",
        "--requirement requirements.lock",
        "--no-deps --no-build-",
    ):
        assert words in locked
    pipeline = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    made = [line for line in pipeline.splitlines() if "make " in line and "VENV=" in line]
    assert len(made) >= 2 and all("LOCKED=1" in line for line in made)
    jobs = YAML(typ="safe").load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    for name, job in jobs.items():
        runs = [step["run"] for step in job["steps"] if "run" in step]
        assert "bash .ci/run" in runs or job["env"]["LOCKED"] == 1, name


def test_known_vulnerabilities_are_asked_for_each_week() -> None:
    file = ROOT / ".github" / "workflows" / "audit.yml"
    assert YAML(typ="safe").load(file.read_text(encoding="utf-8"))["on"]["schedule"]
    text = file.read_text(encoding="utf-8")
    assert "--requirement requirements.lock --require-hashes" in text and "--requirement constraints.txt" in text


def test_the_lowest_versions_are_what_pip_is_told_and_what_the_nightly_tests_run_with() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "lowest-versions"], capture_output=True, text=True, check=True
    )
    constraints = {one.name: one for one in map(Requirement, done.stdout.splitlines())}
    extras = PROJECT["project"]["optional-dependencies"].keys() - {"dev"}
    named = [one for extra in (None, *extras) for one in required(extra)]
    assert constraints.keys() == {one.name for one in named}
    for one in named:
        (lowest,) = (Version(bound.version) for bound in one.specifier if bound.operator == ">=")
        assert constraints[one.name].specifier == Requirement(f"x=={lowest}").specifier
        assert constraints[one.name].marker == one.marker and not constraints[one.name].extras
    nightly = (ROOT / ".github" / "workflows" / "nightly.yml").read_text(encoding="utf-8")
    assert "tools/lowest-versions >lowest.txt\n" in nightly and "CONSTRAINTS=lowest.txt make test\n" in nightly
    assert '--constraint "${CONSTRAINTS:-constraints.txt}"' in (ROOT / "tools" / "install").read_text(encoding="utf-8")
