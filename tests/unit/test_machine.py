"""What a record says of the machine: complete, true, and silent about the user."""

from __future__ import annotations

import getpass
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from tinydigits import machine


def test_the_machine_is_described_in_full() -> None:
    found = machine.describe_machine()
    assert found["num_cores"] == os.cpu_count()
    assert found["memory_bytes"] == pytest.approx(psutil.virtual_memory().total, rel=0.01)
    assert found["processor"] and platform.machine() in found["system"]


def test_what_decides_the_last_bits_is_named() -> None:
    import torch

    found = machine.describe_machine() | machine.describe_arithmetic("cpu")
    assert found["kernels"] == torch.backends.cpu.get_cpu_capability() and "openmp" in found["libraries"]
    flags = Path("/proc/cpuinfo")
    if flags.is_file() and platform.machine() == "x86_64":
        assert ("avx512f" in found["instructions"]) == (" avx512f " in flags.read_text())
        assert "avx2" in found["instructions"] or found["kernels"] == "DEFAULT"


def test_nothing_names_the_user_or_the_host() -> None:
    text = str(machine.describe_machine()) + str(machine.describe_versions())
    for name in (platform.node(), getpass.getuser(), str(Path.home())):
        assert not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)


def test_versions_are_those_in_use() -> None:
    found = machine.describe_versions()
    assert found["python"] == platform.python_version()
    assert found["numpy"] == np.__version__


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        raise machine.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(machine.metadata, "version", version)
    assert machine.describe_versions()["tinydigits"] == "unknown"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, as the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("one")
    for words in (["init", "-q"], ["add", "file"], ["commit", "-q", "-m", "one"]):
        git(*words)
    return tmp_path


def git(*words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_found(repository: Path) -> None:
    head = git("rev-parse", "HEAD")
    assert machine.find_git_commit() == head
    git("tag", "-a", "v1", "-m", "v1")
    assert machine.find_git_commit() == head, "a tag must not hide the commit"


def test_a_change_is_told_and_a_new_file_is_not(repository: Path) -> None:
    (repository / "new").write_text("two")
    assert not str(machine.find_git_commit()).endswith("-dirty")
    (repository / "file").write_text("two")
    assert str(machine.find_git_commit()).endswith("-dirty")


def test_no_repository_and_no_git_mean_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert machine.find_git_commit() is None
    monkeypatch.setenv("PATH", "")
    assert machine.find_git_commit() is None


def test_peak_memory_is_in_bytes_never_falls_and_is_not_that_of_the_process_before() -> None:
    """On Linux getrusage's figure starts from the parent's, so a small child of a large process looks large."""
    block = b"x" * 300_000_000
    before = machine.peak_memory_bytes()
    assert before >= 0.9 * psutil.Process().memory_info().rss
    code = """
from tinydigits.machine import peak_memory_bytes
before = peak_memory_bytes()
assert before < 200_000_000, before
block = b"x" * 200_000_000
del block
print(peak_memory_bytes() - before)
"""
    grown = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert 190_000_000 < grown < 250_000_000
    del block
    assert machine.peak_memory_bytes() >= 0.99 * before  # the kernel counts pages in batches


def test_freed_memory_is_kept() -> None:
    """The second of two equal allocations finds its pages there: hardly a page fault, where there were thousands."""
    code = """
import resource, sys
from contextlib import nullcontext
from tinydigits.machine import freed_memory_kept
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        b"x" * 40_000_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
with freed_memory_kept() if sys.argv[1] == "keep" else nullcontext():
    faults()
    print(faults())
"""

    def count(mode: str) -> int:
        done = subprocess.run([sys.executable, "-c", code, mode], check=True, capture_output=True, text=True)
        return int(done.stdout)

    if platform.libc_ver()[0] == "glibc":
        assert 10 * count("keep") < count("give back")
    else:
        assert count("keep") >= 0, "it does nothing, and does not fail"


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import ctypes

    def refuse(name: str) -> None:
        raise OSError(f"no {name} here")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    with machine.freed_memory_kept():
        pass
