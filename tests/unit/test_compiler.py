"""A text in C becomes functions, and what does not compile says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinydigits.compiler import load_library
from tinydigits.errors import TinydigitsError

TWICE = "int twice(int n) { return 2 * n; }"


def test_the_first_flags_that_the_compiler_takes_are_used() -> None:
    text = "#ifdef SECOND\n" + TWICE + "\n#else\n#error no\n#endif\n"
    flags = [("-DFIRST",), ("--no-such-flag",), ("-DSECOND",), ("--no-such-flag",)]
    assert load_library(text, where="twice.c", flags=flags).twice(4) == 8


def test_a_text_that_does_not_compile_is_named_with_the_reason() -> None:
    with pytest.raises(TinydigitsError, match=r"twice\.c: does not compile: .*error"):
        load_library("int twice(int n) { return 2 * m; }", where="twice.c")


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert load_library(TWICE, where="twice.c").twice(3) == 6
    assert not list(tmp_path.iterdir())


def test_a_folder_that_no_code_may_be_run_from_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a temporary folder that is mounted noexec: what the compiler writes there is no library to load."""
    (temporary := tmp_path / "temporary").mkdir()
    spoiled = tmp_path / "cc"
    spoiled.write_text(
        '#!/bin/sh\ncc "$@" || exit 1\n'
        'while [ "$1" != -o ]; do shift; done\ncase "$2" in "$SPOILED"/*) echo no library >"$2";; esac\n'
    )
    spoiled.chmod(0o755)
    for name, value in (("CC", spoiled), ("SPOILED", temporary), ("TINYDIGITS_CACHE", tmp_path / "cache")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    assert load_library(TWICE, where="twice.c").twice(3) == 6
    monkeypatch.setenv("SPOILED", str(tmp_path))
    with pytest.raises(TinydigitsError, match=r"twice\.c: cannot be .* loaded in .*/temporary .* or .*\n  try: TMPDIR"):
        load_library(TWICE, where="twice.c")
    assert not list(temporary.iterdir()) and not list((tmp_path / "cache").iterdir())


def test_a_machine_without_a_compiler_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(TinydigitsError, match=r"twice\.c: there is no C compiler\n  try: apt install gcc"):
        load_library(TWICE, where="twice.c")
