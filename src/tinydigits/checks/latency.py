"""How long one batch takes, in milliseconds, at a named percentile.

Measured in a process of its own with a named number of threads, after a warm-up: another library in the process, or
another number of threads, changes latency a hundredfold. The calls are timed in blocks. When all blocks are within the
limit, or all are beyond, that decides; a limit that lies between the quietest and the noisiest block is undecided.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tinydigits.checks import _finding
from tinydigits.checks._examples import Example, small
from tinydigits.checks._finding import Finding
from tinydigits.checks._subject import Subject

NAME = "latency"
ADVICE = (
    "Lower multiply-adds (`tinydigits models show MODEL`): fewer channels, an earlier stride, separable convolutions."
)
_NUM_BLOCKS = 5
_TIMEOUT_SECONDS = 120


class Limits(_finding.Limits):
    """`{max_ms = 100, percentile = 95, threads = 1, batch_size = 1}`; at most `runs` calls, within `budget_seconds`."""

    max_ms: Annotated[float, Field(gt=0)]
    percentile: Literal[50, 95, 99] = 95
    threads: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] = 1
    runs: Annotated[int, Field(ge=_NUM_BLOCKS)] = 500
    budget_seconds: Annotated[float, Field(gt=0)] = 5.0


def check(subject: Subject, limits: Limits) -> Finding:
    """Time the model elsewhere and compare each block's percentile with the limit."""
    threads = f"{limits.threads} thread{'s' if limits.threads > 1 else ''}"
    limit = f"p{limits.percentile} at most {limits.max_ms:g} ms, batch {limits.batch_size}, {threads}"
    try:
        answer = _measure(subject, limits)
    except (pickle.PicklingError, AttributeError, TypeError) as error:  # all three are what pickle raises
        return Finding.not_run(NAME, f"the model cannot be sent to a process of its own: {error}", limit=limit)
    if "error" in answer:
        return Finding.not_run(NAME, f"the process that measures failed: {answer['error']}", limit=limit)
    key = f"p{limits.percentile}"
    blocks = [block[key] for block in answer["blocks"]]
    measured = f"p{limits.percentile} {answer[key]:.2f} ms"
    why = (
        f"p50 {answer['p50']:.2f}, p95 {answer['p95']:.2f}, p99 {answer['p99']:.2f} ms of {answer['runs']} calls; "
        f"first call {answer['cold_ms']:.1f} ms"
    )
    if min(blocks) <= limits.max_ms < max(blocks):
        why += f"; this machine is noisy: blocks from {min(blocks):.2f} to {max(blocks):.2f} ms"
        advice = "Measure on a quiet machine, or leave more room between the limit and the model."
        return Finding(NAME, "undecided", measured, limit, why, answer, answer[key], advice)
    return Finding.judge(
        NAME, max(blocks) <= limits.max_ms, measured=measured, limit=limit, why=why, details=answer, value=answer[key]
    )


def _measure(subject: Subject, limits: Limits) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tinydigits-") as folder:
        with subject.borrow() as model:
            if subject.spec is None:
                torch.save(model, Path(folder) / "model.pt")
            else:
                torch.save(model.state_dict(), Path(folder) / "state.pt")
        task = {
            "spec": subject.spec, "options": subject.options, "shape": [limits.batch_size, *subject.input_shape],
            "threads": limits.threads, "runs": limits.runs, "blocks": _NUM_BLOCKS, "device": subject.device,
            "budget_seconds": limits.budget_seconds, "path": sys.path,
        }  # fmt: skip
        (Path(folder) / "task.json").write_text(json.dumps(task), encoding="utf-8")
        script = Path(__file__).with_name("_latency_process.py")
        try:
            process = subprocess.run(
                [sys.executable, str(script), folder],
                capture_output=True, text=True, timeout=_TIMEOUT_SECONDS + limits.budget_seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return {"error": f"no answer within {_TIMEOUT_SECONDS} s"}
        if process.returncode != 0:
            lines = process.stderr.strip().splitlines()
            return {"error": lines[-1] if lines else f"exit code {process.returncode}"}
        answer: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
        return answer


class _Sleeps(nn.Module):
    """Rests for 20 ms at each call."""

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(0.02)
        return images.flatten(1)[:, :10]


EXAMPLES = (
    Example("pass", lambda: small(), {"max_ms": 1_000, "budget_seconds": 0.2}, says="first call"),
    Example("fail", lambda: small(_Sleeps()), {"max_ms": 5, "budget_seconds": 0.5}, says="ms"),
    Example(
        "not run", lambda: small(nn.Sequential(type("Local", (nn.ReLU,), {})())), {"max_ms": 5}, says="cannot be sent"
    ),
)
