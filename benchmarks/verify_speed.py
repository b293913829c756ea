"""How long a verdict takes, in units of `import torch`: all structural and behavioural checks, and a full verdict.

Each is a process of its own with one thread, one after the other and over again, so that a busy machine slows all of
them alike. Compiled files are written to a folder of their own in a first round that does not count, as an installed
package has them. The full verdict is on the trained gap-cnn of the package and MNIST's 10,000 test images.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.protocol import (
    LAB,
    RESULTS,
    Page,
    in_turns,
    machine,
    made_by,
    read_rows,
    run_process,
    spread,
    write_rows,
)
from benchmarks.provenance import stamp
from tinydigits.report.text import table

FILE = RESULTS / "verify_speed.json"
PAGE = LAB / "verify-speed.md"
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


def measure(repeats: int = REPEATS) -> int:
    """Time every process, some minutes on a quiet machine; exit code 1 where a limit is missed."""
    with tempfile.TemporaryDirectory() as folder:
        contract = Path(folder) / "structure.toml"
        contract.write_text(CONTRACT, encoding="utf-8")
        verify = ["-m", "tinydigits", "verify"]
        processes = {
            "import torch": ["-c", "import torch"],
            "structure and behaviour": [*verify, "gap-cnn", "--contract", str(contract)],
            "full verdict": [*verify, "gap-cnn-tuned", "--contract", "gap-cnn"],
        }
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
        calls = {name: partial(run_process, arguments, environment) for name, arguments in processes.items()}
        seconds = in_turns(calls, repeats)
    timed = {name: [{key: row[key] for key in ("wall", "processor")} for row in rows] for name, rows in seconds.items()}
    rows = {**stamp(weights=["gap-cnn-tuned"], contracts=["gap-cnn"]), "processes": timed}
    write_rows(FILE, rows)
    for name, limit in LIMITS.items():
        wall, processor = ratios(rows, "wall")[name], ratios(rows, "processor")[name]
        print(f"{name}: {wall:.2f} times `import torch` ({processor:.2f} in processor time), limit {limit}")
    return int(any(ratios(rows, "wall")[name] >= limit for name, limit in LIMITS.items()))


def ratios(rows: dict[str, Any], clock: str) -> dict[str, float]:
    """Medians in units of `import torch`."""
    medians = {name: statistics.median(row[clock] for row in found) for name, found in rows["processes"].items()}
    return {name: medians[name] / medians["import torch"] for name in LIMITS}


def pages() -> Iterator[Page]:
    rows = read_rows(FILE)
    yield Page(PAGE, page(rows), [FILE])


def page(rows: dict[str, Any]) -> str:
    """The rows as Markdown."""
    shares, cells = ratios(rows, "wall"), []
    for name, timed in rows["processes"].items():
        wall, processor = (spread([row[clock] for row in timed]) for clock in ("wall", "processor"))
        limit = f"under {LIMITS[name]}" if name in LIMITS else ""
        cells.append([name, wall, f"{shares.get(name, 1):.2f}", limit, processor])
    return "\n\n".join([
        "# Speed of a verdict",
        made_by("verify_speed", FILE, rows),
        f"{machine(rows, 1)}. Medians of {len(rows['processes']['import torch'])} repeats, in brackets least and most; "
        "each a process of its own, in turn.",
        table(["process", "seconds", "times `import torch`", "limit", "processor seconds"], cells, "lrrrr"),
        "*Structure and behaviour*: parameters, multiply-adds, receptive field, layers, shapes and every check of "
        "`behaviour` on a fresh gap-cnn. *Full verdict*: `tinydigits verify gap-cnn-tuned --contract gap-cnn`, with "
        "10,000 test images.",
    ]) + "\n"  # fmt: skip


COMMANDS = (measure,)
