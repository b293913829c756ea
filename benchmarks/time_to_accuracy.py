"""Seconds to 99.0 % and 99.4 % on this machine: our recipes beside the plain way, in turn, so that all share its noise.

    python -m benchmarks.time_to_accuracy measure     # about half an hour; stop and call it again at will
    python -m benchmarks.time_to_accuracy page        # writes docs/time-to-accuracy.md (--check: only compare)

A run is a process of its own, and a line of benchmarks/results/time_to_accuracy.jsonl; a line that is there is not
measured again. The plain runs ask the test images after every epoch, with the clock stopped, since the epochs that they
need are to be found; ours are asked once, by the verifier, when the process that trained has ended.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.provenance import stamp
from tinydigits import data, recipe
from tinydigits.machine import describe_machine, describe_versions, find_git_commit
from tinydigits.run import open_run

FILE = Path(__file__).parent / "results" / "time_to_accuracy.jsonl"
PAGE = Path(__file__).parents[1] / "docs" / "time-to-accuracy.md"
# Fixed before the first run: how many seeds ours are measured with, how many the plain ways.
SEEDS, PLAIN_SEEDS = 12, 3


@dataclass(frozen=True)
class Race:
    """An accuracy to be reached: our recipe, the plain way, its epochs at most, and how many times faster we aim at."""

    accuracy: float
    recipe: str
    plain: str
    max_epochs: int
    aim: float


RACES = (
    Race(0.990, "dash-99", "pytorch-example", max_epochs=5, aim=60),
    Race(0.994, "dash-994", "gap-cnn, plain way", max_epochs=15, aim=30),
)


def measure(threads: int, file: Path = FILE) -> None:
    """Run what has no line yet, in turn: the plain ways come spread between our seeds."""
    done = {(row["contender"], row["seed"]) for row in read(file)}
    if ("machine", 0) not in done:
        measured = stamp(recipes=[race.recipe for race in RACES])
        _append(file, {"contender": "machine", "seed": 0} | measured | _describe_limits(threads))
    for race, plain, seed in _order():
        name = race.plain if plain else race.recipe
        if (name, seed) in done:
            continue
        row = (_run_plain if plain else _run_recipe)(race, seed, threads)
        # The plain way of gap-cnn takes that recipe's model and optimizer; the other one is none of ours.
        recipes = [race.recipe] if not plain else ["gap-cnn"] if name.startswith("gap-cnn") else []
        _append(file, {
            "contender": name, "seed": seed, **stamp(recipes=recipes), **row, "threads": threads,
            "machine": describe_machine(), "versions": describe_versions(), "commit": find_git_commit(),
        })  # fmt: skip
        print(name, seed, f"{row['training'][-1]:.2f} s, {row['correct'][-1]:,} of {row['seen']:,}", flush=True)


def read(file: Path = FILE) -> list[dict[str, Any]]:
    """The lines of the file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def _append(file: Path, row: dict[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def _order() -> Iterator[tuple[Race, bool, int]]:
    for seed in range(SEEDS):
        for race in RACES:
            if seed % (SEEDS // PLAIN_SEEDS) == 0:
                yield race, True, seed // (SEEDS // PLAIN_SEEDS)
            yield race, False, seed


def _run_recipe(race: Race, seed: int, threads: int) -> dict[str, Any]:
    """`tinydigits train` and `tinydigits verify` as a user calls them; `process` is all of the first."""
    options = ["--device", "cpu", "--threads", str(threads)]
    with tempfile.TemporaryDirectory() as out:
        command = ["train", race.recipe, "--seed", str(seed), "--out", out, *options]
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "tinydigits", *command], stdout=subprocess.PIPE, check=True)
        process = time.perf_counter() - started
        folder = open_run(None, out).folder
        # Exit code 1 says that the contract does not hold for this seed; the count is what is wanted.
        verify = [sys.executable, "-m", "tinydigits", "verify", str(folder), *options]
        subprocess.run(verify, stdout=subprocess.PIPE, check=False)
        record, verdict = open_run(folder).record, open_run(folder).verdict
    assert verdict is not None and verdict.test_counts is not None
    correct, seen = verdict.test_counts
    return {
        "training": [record.seconds.training], "correct": [correct], "seen": seen,
        "process": [process], "recipe": record.recipe, "images_seen": record.images_seen,
        "command": " ".join(["tinydigits", *command[:4], *options]),
    }  # fmt: skip


def _run_plain(race: Race, seed: int, threads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.time_to_accuracy", "plain", "--seed", str(seed)]
    command += ["--threads", str(threads), "--contender", race.plain, "--started", repr(time.time())]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def run_plain(race: Race, seed: int, threads: int, started: float) -> dict[str, Any]:
    """Every epoch's end of a plain run: seconds of training so far, seconds since `started`, right test images.

    `process` counts what came before the first epoch and the training, not the evaluations.
    """
    import torch
    from torch.utils.data import DataLoader

    from benchmarks.plain import ExampleNet, PerImage, train_epoch
    from tinydigits import models
    from tinydigits.evaluate import evaluate
    from tinydigits.optim import build_optimizer

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    train, test, held_out = data.load("mnist", "train"), data.load("mnist", "test"), None
    if race.plain == "pytorch-example":
        model, batch_size, mean, std = ExampleNet(), 64, 0.1307, 0.3081
        optimizer: torch.optim.Optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
        step_lr = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    else:
        chosen = recipe.load("gap-cnn")
        train, held_out = data.hold_out(train, chosen.data.validation)
        model, batch_size = models.build("gap-cnn", chosen.model.options), chosen.data.batch_size_at(1)
        mean, std = chosen.data.mean, chosen.data.std
        optimizer = build_optimizer(model, chosen.optimizer)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2, factor=0.1)
    loader = DataLoader(PerImage(train, mean, std), batch_size=batch_size, shuffle=True)
    start_up = time.time() - started
    training, correct, spent = [], [], 0.0
    for _ in range(race.max_epochs):
        spent += train_epoch(model, optimizer, loader)
        found = evaluate(model, test.images_NHW, test.labels_N, mean=mean, std=std, num_classes=10)
        training.append(spent)
        correct.append(found.correct)
        if held_out is None:
            step_lr.step()
        else:
            loss = evaluate(model, held_out.images_NHW, held_out.labels_N, mean=mean, std=std, num_classes=10).loss
            plateau.step(loss)
    return {
        "training": training, "correct": correct, "seen": len(test), "process": [start_up + t for t in training],
        "images_seen": len(train) * race.max_epochs,
        "command": f"python -m benchmarks.time_to_accuracy plain --contender '{race.plain}' --seed {seed}",
    }  # fmt: skip


def _describe_limits(threads: int) -> dict[str, Any]:
    """What the machine can do at best, measured: multiply-adds and bytes a second; and what our recipes ask for."""
    import torch

    from benchmarks.speed import profile_step
    from tinydigits import models
    from tinydigits.trace import trace

    torch.set_num_threads(threads)
    peaks = {kind: _best(_matmul(dtype)) for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    images = data.load("mnist", "train")
    recipes = {}
    for race in RACES:
        chosen = recipe.load(race.recipe)
        graph = trace(models.build(chosen.model.name, chosen.model.options))
        recipes[race.recipe] = {
            "num_parameters": graph.num_parameters, "multiply_adds": graph.macs,
            "activations": _num_activations(chosen.model.name, chosen.model.options),
            "precision": chosen.precision, "profile": profile_step(chosen, images),
        }  # fmt: skip
    source, target = torch.zeros(2, 64 * 2**20, dtype=torch.uint8)
    bandwidth = 2 * source.numel() * _best(lambda: target.copy_(source))
    return {
        "multiply_adds_per_second": {kind: 2048**3 * rate for kind, rate in peaks.items()},
        "bytes_per_second": bandwidth, "recipes": recipes, "threads": threads,
        "machine": describe_machine(), "versions": describe_versions(),
    }  # fmt: skip


def _matmul(dtype: Any) -> Any:
    import torch

    left, right = torch.randn(2, 2048, 2048).to(dtype)
    return lambda: left @ right


def _best(call: Any, repeats: int = 10) -> float:
    """Calls a second, of the fastest."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1 / min(times)


def _num_activations(name: str, options: dict[str, Any]) -> int:
    """Numbers that the modules of a model put out for one image."""
    import torch

    from tinydigits import models

    total = 0

    def count(module: Any, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() // len(output)

    model = models.build(name, options)
    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(count)
    model(torch.zeros(2, 1, 28, 28))
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["measure", "page", "plain"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--file", type=Path, default=FILE, help="another file for the rows")
    parser.add_argument("--check", action="store_true", help="page: only say whether it is up to date")
    parser.add_argument("--contender", choices=[race.plain for race in RACES], help="plain: which one")
    parser.add_argument("--seed", type=int, default=0, help="plain: its seed")
    parser.add_argument("--started", type=float, help="plain: when its process was started, seconds since 1970")
    options = parser.parse_args(arguments)
    if options.task == "measure":
        measure(options.threads, options.file)
        print(f"{options.file}\nnext: python -m benchmarks.time_to_accuracy page")
    elif options.task == "plain":
        (race,) = (race for race in RACES if race.plain == options.contender)
        print(json.dumps(run_plain(race, options.seed, options.threads, options.started or time.time())))
    else:
        from benchmarks.time_to_accuracy_page import page

        text = page(read(options.file))
        if options.check:
            return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text)
        PAGE.write_text(text, encoding="utf-8")
        print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
