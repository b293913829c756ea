"""What a checkpoint holds of a training, and how it is written and read."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer

from tinydigits.archive import require_honest
from tinydigits.errors import TinydigitsError
from tinydigits.machine import peak_memory_bytes
from tinydigits.optim import Average, Schedule
from tinydigits.run import Record, Run
from tinydigits.training.distributed import World
from tinydigits.training.ledger import Ledger

__all__ = ["State", "checkpoint_bytes", "load_checkpoint", "write_checkpoint", "write_status", "write_tables"]


@dataclass
class State:
    """A training between two steps: `batch` batches of epoch `epoch` (from 1) and `step` steps in all are done."""

    model: nn.Module
    optimizer: Optimizer
    schedule: Schedule
    average: Average
    ledger: Ledger
    record: Record
    epoch: int = 1
    batch: int = 0
    step: int = 0


def write_checkpoint(state: State, world: World, run: Run) -> None:
    """Write checkpoint, tables and record; the checkpoint comes first, the others can be made from it."""
    state.record.peak_memory_bytes = max(state.record.peak_memory_bytes, peak_memory_bytes())
    content = checkpoint_bytes(state, world)  # every process has a part in it
    if world.is_first:
        run.write("checkpoint.pt", content)
        write_tables(state.ledger, run)
        run.write_record(state.record)


def write_tables(ledger: Ledger, run: Run) -> None:
    """Write `history.csv`, a row an epoch, and `steps.csv`, a finer curve."""
    run.write_table("history.csv", ledger.history)
    run.write_table("steps.csv", ledger.steps)


def write_status(state: State, world: World, run: Run, status: Literal["interrupted", "diverged"]) -> None:
    """Say in the record how the training ended before its end; the checkpoint stays the last good one."""
    state.record.status = status
    if world.is_first:
        run.write_record(state.record)


def checkpoint_bytes(state: State, world: World) -> bytes:
    """The content of `checkpoint.pt`; every process must call it, since each has random numbers of its own."""
    device = world.device
    random = {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }
    content = {
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
        "average": state.average.state_dict(),
        "random": world.gather(random),  # by rank
        "position": {"epoch": state.epoch, "batch": state.batch, "step": state.step},
        "record": state.record.model_dump(mode="json"),
    } | state.ledger.state_dict()
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def load_checkpoint(state: State, world: World, run: Run) -> None:
    """Stand where the run's checkpoint was written. Raises TinydigitsError where it is damaged or does not fit."""
    path = run.file("checkpoint.pt")
    require_honest(path, path)
    try:
        content = torch.load(path, map_location=world.device, weights_only=True)
        state.model.load_state_dict(content["model"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.schedule.load_state_dict(content["schedule"])
        state.average.load_state_dict(content["average"])
        state.ledger.load_state_dict(content)
        if world.rank < len(content["random"]):  # taken up by more processes, the new ones keep their own
            random = content["random"][world.rank]
            torch.set_rng_state(random["cpu"].cpu())
            if world.device.type == "cuda" and random["cuda"] is not None:
                torch.cuda.set_rng_state(random["cuda"].cpu(), world.device)
        state.epoch, state.batch, state.step = (content["position"][key] for key in ("epoch", "batch", "step"))
        record = Record.model_validate(content["record"])
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        raise TinydigitsError(str(path), f"damaged checkpoint: {type(error).__name__}: {error}") from error
    if record.teachers_sha256 != state.record.teachers_sha256:
        raise TinydigitsError(f"run {run.folder}", "the teachers are not those that it began with")
    now = {"world_size": world.size, "backend": world.backend, "source": state.record.source}
    state.record = record.model_copy(update={"status": "running", "resumed": record.resumed + 1, **now})
