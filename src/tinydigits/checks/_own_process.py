"""Inference measured in a process of its own: the other side is `_inference_process.py`."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tinydigits.checks._subject import Subject
from tinydigits.errors import EndsProcess, TinydigitsError

__all__ = ["measure_elsewhere"]

_TIMEOUT_SECONDS = 120


def measure_elsewhere(
    subject: Subject, what: str, *, batch_size: int, threads: int, budget_seconds: float = 0.0, **task: Any
) -> Mapping[str, Any]:
    """Send the model to a fresh process, and give what it measured there.

    Raises TinydigitsError, which becomes a finding *not run*, for a model that cannot be sent or a process that failed,
    and EndsProcess for a model that ended it.
    """
    with tempfile.TemporaryDirectory(prefix="tinydigits-") as folder:
        try:
            with subject.borrow() as model:
                torch.save(model, Path(folder) / "model.pt")
        except (pickle.PicklingError, AttributeError, TypeError) as error:  # all three are what pickle raises
            raise TinydigitsError(f"the model cannot be sent to a process of its own: {error}") from error
        task |= {
            "what": what, "device": subject.device,
            "shape": [batch_size, *subject.input_shape], "threads": threads, "budget_seconds": budget_seconds,
            "path": sys.path,
        }  # fmt: skip
        (Path(folder) / "task.json").write_text(json.dumps(task), encoding="utf-8")
        failed = "the process that measures failed"
        try:
            process = subprocess.run(
                [sys.executable, str(Path(__file__).with_name("_inference_process.py")), folder],
                capture_output=True, text=True, timeout=_TIMEOUT_SECONDS + budget_seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise TinydigitsError(f"{failed}: no answer within {_TIMEOUT_SECONDS} s") from error
        file = Path(folder) / "answer.json"
        if not file.is_file():
            reason = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
            was_killed, has_raised = process.returncode < 0, "Traceback" in process.stderr
            if EndsProcess.__name__ in reason or not (was_killed or has_raised):
                raise EndsProcess(f"model {subject.name}", f"ends the process when {what} is measured ({reason})")
            raise TinydigitsError(f"{failed}: {reason}")
        answer: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return answer
