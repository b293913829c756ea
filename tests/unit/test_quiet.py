"""Standard error is dropped for a while, and is there again."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, sys, warnings
from tinydigits.quiet import quiet_stderr
print("before", file=sys.stderr)
try:
    with quiet_stderr():
        os.write(2, b"from C\\n")
        warnings.warn("from Python")
        print("on standard output", flush=True)
        raise ValueError("told")
except ValueError as error:
    print(error, file=sys.stderr)
os.write(2, b"after\\n")
"""


def test_what_libraries_print_is_dropped_and_what_they_raise_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stderr == "before\ntold\nafter\n" and done.stdout == "on standard output\n"
