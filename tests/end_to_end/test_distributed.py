"""Trainings in two processes that torchrun starts, over gloo: the same as one, resumed after a kill, written once."""

from __future__ import annotations

import json
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
from tinydigits.recipe import load, names, to_toml
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

# Any registered model in double precision, without dropout, of which each process has random numbers of its own.
DOUBLE = """
from typing import Any
from torch import nn
from tinydigits import models

class Double(nn.Module):
    def __init__(self, name: str, given: dict[str, Any]) -> None:
        super().__init__()
        self.inner = models.build(name, given).double()
        for module in self.modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d):
                module.p = 0.0

    def forward(self, images):
        return self.inner(images.double())
"""

# Trains one recipe after the other, and writes the losses of all their steps.
LOSSES = """
import json, sys
from pathlib import Path
from tinydigits.recipe import load
from tinydigits.training import Reporter, train

class Losses(Reporter):
    def __init__(self):
        self.found = []
    def on_progress(self, progress):
        self.found += progress.step_losses

out, *files = sys.argv[1:]
heard = {Path(file).stem: Losses() for file in files}
for file in files:
    run = train(load(file), out=out, device="cpu", threads=1, reporter=heard[Path(file).stem])
if any(losses.found for losses in heard.values()):  # one process hears of them
    Path(out, "losses.json").write_text(json.dumps({name: losses.found for name, losses in heard.items()}))
"""


def start(
    processes: int, *arguments: object, machines: Sequence[str] = (), program: Sequence[str] = ("-m", "tinydigits")
) -> subprocess.Popen[str]:
    """A program in so many processes on this machine; `machines` are torchrun's options for more than one machine."""
    several = processes > 1 or machines
    torchrun = ["-m", "torch.distributed.run", *machines, "--nproc-per-node", str(processes)] if several else []
    return subprocess.Popen(
        [sys.executable, *torchrun, *program, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def train(processes: int, *arguments: object) -> tuple[str, str]:
    return finish(start(processes, "train", *arguments))


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a program printed that must end well."""
    out, err = process.communicate(timeout=600)
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
    settings = [augmented, model, 'recompute=["0"]', "optimizer.clip_norm=1", "statistics=plain"]
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


# Through se-resnet's many layers of BatchNorm rounding grows: in double precision, too, one process and another whose
# first weights differ in the last bit are 1e-8 apart after twelve steps, and parted after thirty. In frontier-10k's
# 20th step something stands between two answers: such a process goes from 7e-15 to 8e-11, two processes to 6e-9.
SURE_STEPS = {"se-resnet": 8, "se-resnet-tuned": 4, "frontier-10k": 18}


def test_in_double_precision_every_recipe_has_the_losses_of_one_process(tmp_path: Path) -> None:
    """So nothing but the rounding of sums is another: order, augmentation, shares, gradients, statistics are the same.

    In single precision that rounding is near 1e-7, and where ReLU or max-pooling stands between two answers it decides.
    """
    (tmp_path / "double.py").write_text(DOUBLE, encoding="utf-8")
    (tmp_path / "losses.py").write_text(LOSSES, encoding="utf-8")
    steps = {name: SURE_STEPS.get(name, 50) for name in names()}
    files = []
    for name, number in steps.items():
        held_out = f"data.validation={1_201 - 21 * number}"
        given = load(name, ["data.source=digits", held_out, "data.batch_size=21", "precision=fp32", "fused=false"])
        model = given.model.model_copy(
            update={
                "name": f"{tmp_path}/double.py:Double",
                "options": {"name": given.model.name, "given": given.model.options},
            }
        )
        parts = {"model": model, "recompute": tuple(f"inner.{part}" for part in given.recompute), "average": None}
        files.append(tmp_path / f"{name}.toml")
        files[-1].write_text(to_toml(given.model_copy(update={**parts, "epochs": 1})), encoding="utf-8")
    losses = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        finish(start(processes, out, *files, program=[str(tmp_path / "losses.py")]))
        losses.append(json.loads((out / "losses.json").read_text(encoding="utf-8")))
    for name, number in steps.items():
        assert len(losses[0][name]) == number, name
        assert losses[1][name] == pytest.approx(losses[0][name], rel=1e-9), name


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
    process = start(2, "train", recipe, "--out", tmp_path / "killed")
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
    agents = [start(1, "train", *settings, "--out", tmp_path / name, machines=meeting) for name in ("first", "second")]
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


PRETENDS = """
import os, sys
from torch import nn

is_plain = "RANK" not in os.environ
os.environ.update({"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "WORLD_SIZE": "2"} if is_plain else {})

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        if self.calls > 5 and not is_plain and os.environ["RANK"] == "1":
            sys.exit(0)
        return super().forward(images)
"""


def test_a_process_ends_with_0_only_after_a_training_and_a_model_cannot_make_it_the_second(tmp_path: Path) -> None:
    """The second of two processes has nothing to write and ends at once, but not because its model says so."""
    (tmp_path / "net.py").write_text(PRETENDS, encoding="utf-8")
    settings = ["--model", f"{tmp_path}/net.py:Net", "--data", "digits", "--epochs", "1", "--out"]
    two, one = (start(number, "train", "two-conv", *settings, tmp_path / str(number)) for number in (2, 1))
    _, err = two.communicate(timeout=240)
    assert two.returncode not in (0, None)
    assert "net.py:Net: ends the process when it is trained (SystemExit: 0)" in err
    assert [run.record.status for run in runs_in(tmp_path / "2")] == ["running"]
    out, err = one.communicate(timeout=240)
    assert one.returncode == 0, err
    (run,) = runs_in(tmp_path / "1")
    assert (run.folder / "report.md").is_file() and "next: tinydigits verify" in out


def test_a_batch_too_small_for_the_processes_is_told(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "small.toml", "dash-99", "data.batch_size=2", 'batch_norm="local"')
    process = start(2, "train", recipe, "--out", tmp_path / "out")
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
