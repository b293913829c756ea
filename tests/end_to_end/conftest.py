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
class Installed:
    """A virtual environment with nothing but the wheel; what it depends on is taken from this one."""

    folder: Path
    wheel: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def command(self) -> Path:
        return self.folder / "bin" / "tinydigits"

    def environment(self, **changes: str) -> dict[str, str]:
        """As in a fresh shell with this environment active: no GitHub, no source tree on the path."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "PYTHON", "PYTEST_"))}
        return (
            kept
            | {"PATH": f"{self.folder / 'bin'}{os.pathsep}{kept['PATH']}", "VIRTUAL_ENV": str(self.folder)}
            | changes
        )


def make_environment(folder: Path) -> Path:
    """A virtual environment that has what this one depends on, but not the package itself; gives its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    python = make_environment(folder / "venv")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return Installed(folder / "venv", wheel)
