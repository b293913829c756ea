"""The process that `latency` and `memory` start: builds the model, measures calls, answers in `answer.json`.

Run as a file, with a folder that has `task.json`, so that nothing but torch and the model is imported before the clock
starts.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def measure(folder: Path) -> dict[str, Any]:
    """What the task asks for: `latency` or `memory`."""
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    sys.path[:] = task["path"]
    import torch

    torch.set_num_threads(task["threads"])
    return {"latency": latency, "memory": memory}[task["what"]](task, folder)


def latency(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Milliseconds per call: p50, p95, p99 of all calls and of each block, the first call and the reference apart."""
    import torch

    started = time.perf_counter_ns()
    model, images_BCHW = build(task, folder)
    load_ms = (time.perf_counter_ns() - started) / 1e6
    on_cuda = task["device"].startswith("cuda")

    def call() -> None:
        model(images_BCHW)
        if on_cuda:
            torch.cuda.synchronize()

    matrix, repeats = torch.rand(64, 64), 1

    def reference() -> None:
        for _ in range(repeats):
            torch.mm(matrix, matrix)

    with torch.inference_mode():
        cold_ms = timed(call)
        warm_ms = [timed(call) for _ in range(5)]
        num_blocks = task["blocks"]
        # As long as a call of the model, and as many calls: what disturbs the one disturbs the other as often.
        repeats = max(1, round(min(warm_ms) / min(timed(reference) for _ in range(20))))
        affordable = int(task["budget_seconds"] * 1e3 / max(2 * min(warm_ms), 1e-3))
        num_calls = max(1, min(task["runs"], affordable) // num_blocks)
        for _ in range(min(20, num_calls)):
            call()
        blocks, references = [], []
        for _ in range(num_blocks):
            references += [timed(reference) for _ in range(num_calls)]
            blocks.append([timed(call) for _ in range(num_calls)])
    every = [ms for block in blocks for ms in block]
    return percentiles(every) | {
        "load_ms": load_ms, "cold_ms": cold_ms, "runs": len(every), "threads": task["threads"],
        "blocks": [percentiles(block) for block in blocks],
        "reference": percentiles(references) | {"best": min(references)},
    }  # fmt: skip


def memory(task: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Bytes: the process's peak, and how much of it torch alone had before there was a model."""
    import torch

    from tinydigits.machine import peak_memory_bytes

    with contextlib.suppress(OSError):  # Linux: forget the peak of importing torch
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = peak_memory_bytes()
    model, images_BCHW = build(task, folder)
    with torch.inference_mode():
        for _ in range(task["runs"]):
            model(images_BCHW)
    return {"peak_bytes": peak_memory_bytes(), "before_bytes": before, "threads": task["threads"]}


def build(task: dict[str, Any], folder: Path) -> tuple[Any, Any]:
    """The model in eval mode, and a batch of images."""
    import torch

    # The file was written a moment ago by the process that started this one.
    model = torch.load(folder / "model.pt", weights_only=False)
    return model.eval().to(task["device"]), torch.rand(task["shape"], device=task["device"])


def timed(call: Callable[[], None]) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def percentiles(values_ms: list[float]) -> dict[str, float]:
    """The nearest-rank percentiles of a list.

    >>> percentiles([float(ms) for ms in range(1, 101)])
    {'p50': 50.0, 'p95': 95.0, 'p99': 99.0}
    """
    ordered = sorted(values_ms)
    return {f"p{p}": ordered[max(0, -(-len(ordered) * p // 100) - 1)] for p in (50, 95, 99)}


if __name__ == "__main__":
    _folder = Path(sys.argv[1])
    _answer = json.dumps(measure(_folder))
    (_folder / "answer.json").write_text(_answer, encoding="utf-8")
