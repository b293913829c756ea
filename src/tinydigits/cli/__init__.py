"""The command line: a file per verb; each turns arguments into one library call and its answer into an exit code."""

from tinydigits.cli.main import main

__all__ = ["main"]
