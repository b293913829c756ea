"""A command that opens others' graphs holds itself to the bounds; a caller of the library is not held."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tinydigits import bounds

ASK = """
import time
import numpy as np
from tinydigits import bounds
{setting}
bounds.enforce()
with bounds.asking("a.onnx"):
    {work}
print("answered")
"""


def ask(work: str, setting: str = "") -> subprocess.CompletedProcess[str]:
    code = ASK.format(work=work, setting=setting)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_what_takes_too_long_ends_with_one_message_and_2() -> None:
    done = ask("time.sleep(60)", "bounds.SECONDS = 0.2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: a.onnx: no answer within 0.2 s\n"


def test_one_slow_question_among_quick_ones_is_seen() -> None:
    done = ask("[bounds.asking('b.onnx').__enter__(), time.sleep(60)]", "bounds.SECONDS = 0.2")
    assert done.returncode == 2 and "no answer" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone holds a process to it")
def test_memory_over_the_bound_is_refused_and_the_process_lives() -> None:
    over = "\n    try:\n        np.ones(300_000_000, np.uint8)\n    except MemoryError:\n        print('refused')"
    done = ask(over, "bounds.MEMORY_BYTES = 200_000_000")
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\nanswered\n", "")
    assert ask("np.ones(100_000_000, np.uint8)", "bounds.MEMORY_BYTES = 200_000_000").stdout == "answered\n"


def test_a_question_that_was_answered_is_forgotten() -> None:
    done = ask("pass\ntime.sleep(1.5)", "bounds.SECONDS = 0.2")
    assert (done.returncode, done.stdout) == (0, "answered\n")


def test_a_caller_of_the_library_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MEMORY_BYTES", 0)
    with bounds.asking("a.onnx"):
        assert np.ones(100_000_000, np.uint8).all()
