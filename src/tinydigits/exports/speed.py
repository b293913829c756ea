"""How fast an exported file answers: each in a process of its own, one thread.

Libraries that share a process disturb each other a hundredfold (torch and onnxruntime do), so each format gets its own.
What is timed is all of it: uint8 pixels in, probabilities out.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinydigits.errors import TinydigitsError
from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Answer

__all__ = ["Speed", "load", "measure"]

_BATCH = 100


@dataclass(frozen=True)
class Speed:
    """The median of single images in microseconds, and images a second in batches of 100."""

    p50_us: float
    images_per_second: float


def load(form: Format, path: Path, spec: str | None) -> Answer:
    """Open a file of a format that can be asked; `spec` is the code of the model, for formats that build it."""
    assert form.load is not None
    return form.load(path, spec) if form.builds else form.load(path)


def measure(format_name: str, path: Path, *, spec: str | None = None, budget_seconds: float = 1.0) -> Speed:
    """Time a file of a format that can be asked; raises TinydigitsError where its process fails."""
    threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        # -P: not from this folder, whose onnx.py and html.py are others.
        [sys.executable, "-P", __file__, format_name, str(path), str(budget_seconds), spec or ""],
        capture_output=True, text=True, check=False, env=os.environ | threads,
    )  # fmt: skip
    answer = done.stdout.splitlines()
    if done.returncode != 0 or not answer:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TinydigitsError(str(path), f"the process that times it failed: {reason}")
    return Speed(**json.loads(answer[-1]))


def _time(answer: Answer, budget_seconds: float) -> Speed:
    generator = np.random.Generator(np.random.PCG64(0))
    images_NHW = generator.integers(0, 256, (_BATCH, 28, 28), dtype=np.uint8)
    single = _seconds(answer, images_NHW[:1], budget_seconds)
    many = _seconds(answer, images_NHW, budget_seconds)
    return Speed(1e6 * statistics.median(single), _BATCH / statistics.median(many))


def _seconds(answer: Answer, images_NHW: np.ndarray, budget_seconds: float) -> list[float]:
    for _ in range(5):
        answer(images_NHW)
    seconds: list[float] = []
    end = time.perf_counter() + budget_seconds
    while len(seconds) < 20 or (time.perf_counter() < end and len(seconds) < 5_000):
        start = time.perf_counter()
        answer(images_NHW)
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":  # started by `measure`, prints one line of JSON
    _name, _path, _budget, _spec = sys.argv[1:]
    _form: Format = importlib.import_module(f"tinydigits.exports.{_name.replace('-', '_')}").FORMAT
    print(json.dumps(vars(_time(load(_form, Path(_path), _spec or None), float(_budget)))))
