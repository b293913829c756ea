"""Every shipped recipe, trained anew to the same bits.

Each recipe is trained as it is shipped, on its own data, for 20 batches, in two processes that share nothing; on one
thread and on two. Held: the losses, and every tensor of the checkpoint (weights, optimizer, averages, random
generators), are the same to the last bit. Other processors, numbers of threads and versions of torch add in another
order and give other bits; a record names them, and what the processor can do.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.reliability import Row
from tinydigits import recipe

ORDER = 60
SUBJECTS = {"recipes": recipe.names()}
BATCHES = 20
THREADS = (1, 2)
Trained = dict[str, dict[str, Any]]  # by recipe: its losses and its checkpoint's digests


def inject(cases: int | None = None, done: Collection[str] = ()) -> Iterator[Row]:
    """A row for each number of threads; `cases` bounds the recipes."""
    names = recipe.names()[:cases]
    for threads in THREADS:
        fault = f"a recipe trained twice, on {threads} thread{'s' * (threads > 1)}"
        if fault in done:
            continue
        one, other = train_twice(names, threads)
        same = [name for name in names if one[name] == other[name]]
        differ = f"not the same: {', '.join(sorted(set(names) - set(same)))}" if len(same) < len(names) else ""
        yield Row(fault, len(names), len(same), differ)


def train_twice(names: Sequence[str], threads: int) -> list[Trained]:
    """Train each recipe's first steps in two processes; on one thread they work at the same time."""
    command = [sys.executable, "-m", __name__, str(threads), *names]
    # Threads that wait without spinning give the same bits, and are not in the way where others want the cores.
    variables = os.environ | {"OMP_WAIT_POLICY": "passive"}
    found = []
    for at_once in (2,) if threads == 1 else (1, 1):
        started = [
            subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=variables, cwd=Path(__file__).parents[2])
            for _ in range(at_once)
        ]
        for process in started:
            told, _ = process.communicate()
            assert process.returncode == 0, "its error is above"
            found.append(json.loads(told))
    return found


def first_batches(name: str, threads: int) -> dict[str, Any]:
    """Losses as hexadecimal floats, a digest of each tensor and number of the checkpoint, after `BATCHES` of them."""
    import torch

    from tinydigits.errors import Interrupted
    from tinydigits.run import open_run
    from tinydigits.training import Progress, Reporter, ledger, loop, train

    # One report, after the last batch: on a busy machine a checkpoint would be due before.
    ledger._BATCHES_PER_READING, loop._SECONDS_BETWEEN_CHECKPOINTS = BATCHES, math.inf
    losses: list[float] = []

    class Listener(Reporter):
        def on_progress(self, progress: Progress) -> None:
            losses.extend(progress.step_losses)
            signal.raise_signal(signal.SIGINT)  # as Ctrl-C: the step is finished, the checkpoint written

    with tempfile.TemporaryDirectory() as out:
        with contextlib.suppress(Interrupted):
            train(recipe.load(name), out=out, threads=threads, reporter=Listener())
        content = torch.load(open_run(None, out).file("checkpoint.pt"), weights_only=True)
    assert len(losses) == BATCHES, f"{name}: {len(losses)} batches"
    return {"losses": [loss.hex() for loss in losses], "checkpoint": dict(_digests(content, ""))}


# What a clock or a folder decides.
_APART = ("seconds", "started_at", "record", "machine", "peak_memory_bytes")


def _digests(value: Any, path: str) -> Iterator[tuple[str, str]]:
    import torch

    if isinstance(value, dict):
        for key, part in value.items():
            if key not in _APART:
                yield from _digests(part, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _digests(part, f"{path}/{number}")
    elif isinstance(value, torch.Tensor):
        data = value.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        yield path, f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(data).hexdigest()}"
    else:
        yield path, repr(value)


if __name__ == "__main__":
    json.dump({name: first_batches(name, int(sys.argv[1])) for name in sys.argv[2:]}, sys.stdout)
