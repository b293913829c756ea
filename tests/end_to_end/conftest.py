"""The package as its users have it: a wheel, installed into an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Environment:
    """A virtual environment without the package, made anew; what that depends on is taken from the running one."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def variables(self, **changes: str) -> dict[str, str]:
        """As in a fresh shell with this environment active: no GitHub, no source tree on the path."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "PYTHON", "PYTEST_"))}
        return (
            kept
            | {"PATH": f"{self.folder / 'bin'}{os.pathsep}{kept['PATH']}", "VIRTUAL_ENV": str(self.folder)}
            | changes
        )


def make_environment(folder: Path) -> Environment:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    for name in ("pip", "pytest"):  # as they are called, but for this environment and no other
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m {name} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    return Environment(folder)


@pytest.fixture
def bare(tmp_path: Path) -> Environment:
    """An environment that the package is not in yet."""
    return make_environment(tmp_path / "venv")


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The package built as a wheel, and installed from it."""
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    made = make_environment(folder / "venv")
    install = [
        str(made.python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
        str(wheel),
    ]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300, env=made.variables())
    assert done.returncode == 0, done.stdout + done.stderr
    return made
