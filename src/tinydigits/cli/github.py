"""What GitHub's runner takes from a step by environment variables: the step's summary, its outputs, annotations."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

from tinydigits.errors import TinydigitsError
from tinydigits.verdict import Verdict

__all__ = ["tell_github"]


def tell_github(verdict: Verdict, before: Verdict | None, stream: TextIO) -> None:
    """Fill the summary and the outputs where the runner names files for them; annotate what does not pass.

    Does nothing outside GitHub's runner. The output is `verdict`: holds, does not hold or undecided.
    """
    if not {"GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_ACTIONS"} & os.environ.keys():
        return
    from tinydigits.report import render

    _append("GITHUB_STEP_SUMMARY", render("markdown", verdict, before) + "\n")
    _append("GITHUB_OUTPUT", f"verdict={verdict.word}\n")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print(render("annotations", verdict), end="", file=stream, flush=True)


def _append(variable: str, text: str) -> None:
    if path := os.environ.get(variable):
        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise TinydigitsError(variable, f"cannot write {path}: {error.strerror}") from error
