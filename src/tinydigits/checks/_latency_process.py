"""The process that `latency` starts: builds the model, warms up, times calls, prints one line of JSON.

Run as a file, so that nothing but torch and the model is imported before the clock starts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def measure(folder: Path) -> dict[str, Any]:
    """Milliseconds per call: p50, p95, p99 of all calls and of each block, and the first call apart."""
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    sys.path[:] = task["path"]
    import torch

    torch.set_num_threads(task["threads"])
    if task["spec"] is None:
        # The file was written a moment ago by the process that started this one.
        model = torch.load(folder / "model.pt", weights_only=False)
    else:
        from tinydigits import models

        model = models.build(task["spec"], task["options"])
        model.load_state_dict(torch.load(folder / "state.pt", weights_only=True))
    model.eval().to(task["device"])
    images_BCHW = torch.rand(task["shape"], device=task["device"])

    def call_ms() -> float:
        start = time.perf_counter_ns()
        model(images_BCHW)
        if task["device"].startswith("cuda"):
            torch.cuda.synchronize()
        return (time.perf_counter_ns() - start) / 1e6

    with torch.inference_mode():
        cold_ms = call_ms()
        warm_ms = [call_ms() for _ in range(5)]
        num_blocks = task["blocks"]
        affordable = int(task["budget_seconds"] * 1e3 / max(min(warm_ms), 1e-3))
        num_calls = max(1, min(task["runs"], affordable) // num_blocks)
        for _ in range(min(20, num_calls)):
            call_ms()
        blocks = [[call_ms() for _ in range(num_calls)] for _ in range(num_blocks)]
    every = [ms for block in blocks for ms in block]
    return percentiles(every) | {
        "cold_ms": cold_ms, "runs": len(every), "threads": task["threads"],
        "blocks": [percentiles(block) for block in blocks],
    }  # fmt: skip


def percentiles(values_ms: list[float]) -> dict[str, float]:
    """The nearest-rank percentiles of a list.

    >>> percentiles([float(ms) for ms in range(1, 101)])
    {'p50': 50.0, 'p95': 95.0, 'p99': 99.0}
    """
    ordered = sorted(values_ms)
    return {f"p{p}": ordered[max(0, -(-len(ordered) * p // 100) - 1)] for p in (50, 95, 99)}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
