"""How long a verdict takes, in units of `import torch`: all structural and behavioural checks, and a full verdict.

    python -m benchmarks.verify_speed      # some minutes on a quiet machine; writes the rows and their page

Each is a process of its own with one thread, one after the other and over again, so that a busy machine slows all of
them alike. Compiled files are written to a folder of their own in a first round that does not count, as an installed
package has them. The full verdict is on the trained gap-cnn of the package and MNIST's 10,000 test images.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.provenance import sentence, stamp
from tinydigits.machine import describe_machine, describe_versions

FILE = Path(__file__).parent / "results" / "verify_speed.json"
PAGE = Path(__file__).parents[1] / "docs" / "verify-speed.md"
REPEATS = 9
LIMITS = {"structure and behaviour": 3, "full verdict": 10}
CONTRACT = """
[model]
parameters = { equals = 9_274 }
multiply_adds = { max = 2_000_000 }
receptive_field = { min = 28 }
layers = { require = ["batch_norm", "dropout", "global_average_pool"] }
[shapes]
input = true
output = true
[behaviour]
train_step = true
gradients = true
probabilities = true
device_movement = true
batch_invariance = true
finite = true
train_eval = true
save_and_load = true
determinism = true
"""


def measure(repeats: int = REPEATS) -> dict[str, Any]:
    """Wall and processor seconds of every repeat of every process."""
    with tempfile.TemporaryDirectory() as folder:
        contract = Path(folder) / "structure.toml"
        contract.write_text(CONTRACT, encoding="utf-8")
        verify = [sys.executable, "-m", "tinydigits", "verify"]
        processes = {
            "import torch": [sys.executable, "-c", "import torch"],
            "structure and behaviour": [*verify, "gap-cnn", "--contract", str(contract)],
            "full verdict": [*verify, "gap-cnn-tuned", "--contract", "gap-cnn"],
        }
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        rows: dict[str, list[dict[str, float]]] = {name: [] for name in processes}
        for repeat in range(repeats + 1):
            for name, command in processes.items():
                seconds = _run(command, environment)
                if repeat:
                    rows[name].append(seconds)
    measured = stamp(weights=["gap-cnn-tuned"], contracts=["gap-cnn"])
    return {**measured, "processes": rows, "machine": describe_machine(), "versions": describe_versions()}


def _run(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, os.times()
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall": wall, "processor": processor}


def ratios(rows: dict[str, Any], clock: str) -> dict[str, float]:
    """Medians in units of `import torch`."""
    medians = {name: statistics.median(row[clock] for row in found) for name, found in rows["processes"].items()}
    return {name: medians[name] / medians["import torch"] for name in LIMITS}


def page(rows: dict[str, Any]) -> str:
    """The rows as Markdown."""
    machine, versions = rows["machine"], rows["versions"]
    lines = [
        "# Speed of a verdict",
        "",
        "Generated from `benchmarks/results/verify_speed.json`; measured anew by `python -m benchmarks.verify_speed`. "
        + sentence(rows),
        "",
        f"{machine['processor']}, {machine['num_cores']} cores, one thread, torch {versions['torch']}, Python "
        f"{versions['python']}. Medians of {len(rows['processes']['import torch'])} repeats, in brackets least and "
        "most; each a process of its own, in turn.",
        "",
        "| process | seconds | times `import torch` | limit | processor seconds |",
        "| :--- | ---: | ---: | ---: | ---: |",
    ]
    for name, found in rows["processes"].items():
        limit = f"under {LIMITS[name]}" if name in LIMITS else ""
        share = f"{ratios(rows, 'wall')[name]:.2f}" if name in LIMITS else "1.00"
        lines.append(f"| {name} | {_spread(found, 'wall')} | {share} | {limit} | {_spread(found, 'processor')} |")
    lines += [
        "",
        "*Structure and behaviour*: parameters, multiply-adds, receptive field, layers, shapes and every check of "
        "`behaviour` on a fresh gap-cnn. *Full verdict*: `tinydigits verify gap-cnn-tuned --contract gap-cnn`, with "
        "10,000 test images.",
    ]
    return "\n".join(lines) + "\n"


def _spread(found: list[dict[str, float]], clock: str) -> str:
    seconds = [row[clock] for row in found]
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})"


def main() -> None:
    """Measure, write the rows and the page, print the ratios; exit code 1 where a limit is missed."""
    rows = measure(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS)
    FILE.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(rows), encoding="utf-8")
    for name, limit in LIMITS.items():
        wall, processor = ratios(rows, "wall")[name], ratios(rows, "processor")[name]
        print(f"{name}: {wall:.2f} times `import torch` ({processor:.2f} in processor time), limit {limit}")
    sys.exit(any(ratios(rows, "wall")[name] >= limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    main()
