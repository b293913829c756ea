"""Trainings in two processes that torchrun starts, over gloo: the same as one, resumed after a kill, written once."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tinydigits import data, models
from tinydigits.evaluate import evaluate
from tinydigits.recipe import load, to_toml
from tinydigits.run import Run, runs_in

# 1,000 images in batches of 21: uneven shares in each batch, and a last batch of 13.
DATA = ["data.source=digits", "data.validation=201", "data.batch_size=21", 'schedule={name="constant"}']
STEADY = ['optimizer={name="sgd",lr=0.01,momentum=0.9}', "precision=fp32", 'average={name="ema",decay=0.9}']


# Without kinks: where ReLU or max-pooling stands between two answers, the last bit decides, and losses part from there.
SMOOTH = """
from torch import nn

class Smooth(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.BatchNorm2d(8), nn.SiLU()),
            nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16, momentum=None), nn.SiLU(),
            nn.Flatten(), nn.Linear(400, 10), nn.BatchNorm1d(10, affine=False),
        )
        self.unused = nn.Parameter(self[0][0].bias.detach().clone())
"""


def start(processes: int, *arguments: object, machines: Sequence[str] = ()) -> subprocess.Popen[str]:
    """A training in so many processes on this machine; `machines` are torchrun's options for more than one machine."""
    several = processes > 1 or machines
    torchrun = ["torch.distributed.run", *machines, "--nproc-per-node", str(processes), "-m"] if several else []
    command = [sys.executable, "-m", *torchrun, "tinydigits", "train", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )


def train(processes: int, *arguments: object) -> tuple[str, str]:
    process = start(processes, *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out, err


def write_recipe(path: Path, name: str, *settings: str) -> Path:
    path.write_text(to_toml(load(name, [*DATA, *STEADY, *settings])), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def alone_and_together(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Run], list[Run], str]:
    """Runs of two seeds, by one process and by two, and what the two printed."""
    folder = tmp_path_factory.mktemp("parity")
    (folder / "smooth.py").write_text(SMOOTH, encoding="utf-8")
    augmented, model = 'augment=[{name="affine",degrees=10}]', f'model={{name="{folder}/smooth.py:Smooth"}}'
    settings = [augmented, model, 'recompute=["0"]', "optimizer.clip_norm=1"]
    recipe = write_recipe(folder / "steady.toml", "dash-99", "epochs=2", *settings)
    train(1, recipe, "--seeds", 2, "--out", folder / "one")
    out, _ = train(2, recipe, "--seeds", 2, "--out", folder / "two")
    return runs_in(folder / "one"), runs_in(folder / "two"), out


def test_two_processes_have_the_losses_of_one(alone_and_together: tuple[list[Run], list[Run], str]) -> None:
    one, two, _ = alone_and_together
    assert len(one) == len(two) == 2
    for alone, together in zip(one, two, strict=True):
        losses = [[row["loss"] for row in run.table("steps.csv")] for run in (alone, together)]
        assert len(losses[0]) == len(losses[1]) == 96  # a row a step
        assert losses[1][:50] == pytest.approx(losses[0][:50], abs=1e-4)
        results = [run.record.result for run in (alone, together)]
        assert results[0] is not None and results[1] is not None
        assert abs(results[0].correct - results[1].correct) <= 3  # of 201


def test_each_image_is_seen_once_and_the_result_is_that_of_the_weights(
    alone_and_together: tuple[list[Run], list[Run], str],
) -> None:
    _, two, _ = alone_and_together
    record = two[0].record
    assert (record.world_size, record.backend, record.status) == (2, "gloo", "finished")
    assert (record.images_seen, record.steps) == (2_000, 96)
    assert [row["images_seen"] for row in two[0].table("history.csv")] == [1_000, 2_000]
    assert record.result is not None
    model, card = models.load_weights(two[0].file("weights.safetensors"))
    _, held_out = data.hold_out(data.load("digits", "train"), 201)
    asked = evaluate(model, held_out.images_NHW, held_out.labels_N, mean=card.mean, std=card.std)
    assert (record.result.seen, record.result.correct) == (201, asked.correct)
    assert record.result.confusion == asked.confusion_KK.tolist()
    assert record.result.loss == pytest.approx(asked.loss, abs=1e-6)


def test_one_process_speaks_and_writes(alone_and_together: tuple[list[Run], list[Run], str]) -> None:
    _, two, out = alone_and_together
    assert out.count("2 processes by gloo") == out.count("epoch 2/2") == out.count("run: ") == 2  # once for a seed
    assert out.count("next: ") == 1
    assert (two[0].folder / "report.md").is_file()
    assert not list(two[0].folder.parent.glob("**/*.draft*"))


def test_a_process_that_is_killed_ends_the_training_which_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """With dropout of each process's own and BatchNorm of its own images, both are in what is taken up."""
    recipe = write_recipe(tmp_path / "gap.toml", "gap-cnn-tuned", "epochs=4", "model.dropout=0.2", 'batch_norm="local"')
    train(2, recipe, "--out", tmp_path / "whole")
    process = start(2, recipe, "--out", tmp_path / "killed")
    try:
        run = wait_for_epoch(tmp_path / "killed")
        os.kill(worker(process.pid, rank=1), signal.SIGKILL)
        _, err = process.communicate(timeout=120)
    finally:
        process.terminate()
    assert process.returncode not in (0, None)
    assert f"error: run {run.folder}: process 0 of 2 lost another one, so the training ends; checkpoint kept" in err
    assert f"try: torchrun --nproc-per-node 2 -m tinydigits train --resume {run.folder}" in err
    assert run.record.status == "running" and run.record.epochs < 4

    train(2, "--resume", run.folder)
    [whole] = runs_in(tmp_path / "whole")
    assert (run.record.status, run.record.resumed) == ("finished", 1)
    assert run.record.result == whole.record.result
    weights = load_file(run.file("weights.safetensors"))
    for name, expected in load_file(whole.file("weights.safetensors")).items():
        assert np.array_equal(weights[name], expected), name


def test_two_machines_train_one_run_and_stop_at_the_same_step(tmp_path: Path) -> None:
    """Each has an agent of torchrun's and a folder of its own; the second is told to stop."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        endpoint = f"localhost:{free.getsockname()[1]}"
    meeting = ["--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-id", "1", "--rdzv-endpoint", endpoint]
    settings = ["two-conv", "--data", "digits", "--epochs", 1_000]
    agents = [start(1, *settings, "--out", tmp_path / name, machines=meeting) for name in ("first", "second")]
    try:
        run = wait_for_epoch(tmp_path)
        agents[0 if run.folder.parent.name == "second" else 1].terminate()
        told = [agent.communicate(timeout=120)[1] for agent in agents]
    finally:
        for agent in agents:
            agent.terminate()
    assert len([*runs_in(tmp_path / "first"), *runs_in(tmp_path / "second")]) == 1  # who meets first is the first
    assert (run.record.status, run.record.world_size) == ("interrupted", 2)
    stopped = {line for text in told for line in text.splitlines() if line.startswith("stopped: ")}
    assert len(stopped) == 1, stopped
    assert re.search(r"in epoch \d+ after batch \d+ of 120, checkpoint kept$", stopped.pop())


def test_a_batch_too_small_for_the_processes_is_told(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "small.toml", "dash-99", "data.batch_size=2", 'batch_norm="local"')
    process = start(2, recipe, "--out", tmp_path / "out")
    _, err = process.communicate(timeout=120)
    assert process.returncode not in (0, None)
    assert "too few images in a batch or set for 2 processes, got 2, expected at least 4" in err
    assert not (tmp_path / "out").exists()


def wait_for_epoch(out: Path) -> Run:
    """The only run of a folder, or of those in it, when its first epoch is in its checkpoint."""
    for _ in range(6_000):
        for run in [run for folder in (out, *out.glob("*/")) for run in runs_in(folder)]:
            if (run.folder / "history.csv").is_file() and run.record.epochs:
                return run
        time.sleep(0.01)
    raise AssertionError("no epoch within a minute")


def worker(torchrun: int, rank: int) -> int:
    """The process id of a rank."""
    for child in Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text(encoding="utf-8").split():
        if f"RANK={rank}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no process of rank {rank}")
