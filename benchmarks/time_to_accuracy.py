"""Seconds to 99.0 % and 99.4 % on this machine: our recipes beside the plain way, in turn, so that all share its noise.

A run is a process of its own, and a line of benchmarks/results/time_to_accuracy.jsonl; a line that is there is not
measured again. The plain runs ask the test images after every epoch, with the clock stopped, since the epochs that they
need are to be found; ours are asked once, by the verifier, when the process that trained has ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.protocol import LAB, RESULTS, Page, machine, made_by, read_rows, run_process
from benchmarks.provenance import sentence, stamp
from tinydigits import data, recipe
from tinydigits.figures import percent
from tinydigits.machine import find_git_commit
from tinydigits.report.text import table
from tinydigits.run import open_run
from tinydigits.stats import mean_and_sd, shortfall

FILE = RESULTS / "time_to_accuracy.jsonl"
PAGE = LAB / "time-to-accuracy.md"
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


def measure(threads: int = 2, file: Path = FILE) -> None:
    """Run what has no line yet, in turn, about half an hour: the plain ways come spread between our seeds."""
    done = {(row["contender"], row["seed"]) for row in read_rows(file)}
    if ("machine", 0) not in done:
        measured = stamp(recipes=[race.recipe for race in RACES])
        _append(file, {"contender": "machine", "seed": 0, "threads": threads} | measured | _describe_limits(threads))
    for race, plain, seed in _order():
        name = race.plain if plain else race.recipe
        if (name, seed) in done:
            continue
        row = (_run_plain if plain else _run_recipe)(race, seed, threads)
        # The plain way of gap-cnn takes that recipe's model and optimizer; the other one is none of ours.
        recipes = [race.recipe] if not plain else ["gap-cnn"] if name.startswith("gap-cnn") else []
        _append(file, {
            "contender": name, "seed": seed, **stamp(recipes=recipes), **row, "threads": threads,
            "commit": find_git_commit(),
        })  # fmt: skip
        print(name, seed, f"{row['training'][-1]:.2f} s, {row['correct'][-1]:,} of {row['seen']:,}", flush=True)


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
    command = ["-m", "benchmarks", "time_to_accuracy", "plain", race.plain, "--seed", str(seed)]
    done = run_process([*command, "--threads", str(threads), "--started", repr(time.time())])
    return json.loads(done["stdout"])


def plain(contender: str, seed: int = 0, threads: int = 2, started: float | None = None) -> None:
    """Train in the plain way, as `measure` does in a process that was `started` then, in seconds since 1970."""
    (race,) = (race for race in RACES if race.plain == contender)
    print(json.dumps(run_plain(race, seed, threads, started or time.time())))


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
        "command": f"python -m benchmarks time_to_accuracy plain '{race.plain}' --seed {seed}",
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
        "bytes_per_second": bandwidth, "recipes": recipes,
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


Row = dict[str, Any]


def pages() -> Iterator[Page]:
    yield Page(PAGE, page(read_rows(FILE)), [FILE])


def page(rows: Sequence[Row]) -> str:
    """The page; a contender without a line is said not to have been measured."""
    lines = [
        "# Time to accuracy",
        made_by("time_to_accuracy", FILE) + " Each run is a process of its own, all in turn.",
    ]
    machines = [row for row in rows if row["contender"] == "machine"]
    if not machines:
        return "\n\n".join([*lines, "Not measured yet."]) + "\n"
    (limits,) = machines
    lines += [_machine(limits), _table(rows), *(_race(race, rows) for race in RACES)]
    lines += [
        "*Training seconds* are the steps alone, with batches, augmentation and optimizer, without any evaluation. "
        "*From process start* adds the imports, the reading of the images and, for ours, all that the command does "
        "until it ends: evaluation on the training images, weights, report. The plain ways are counted until the epoch "
        "that they need, without their evaluations. ± is the sample standard deviation over seeds.",
        "## How far from the floor",
        _floor(limits, rows),
        "*Arithmetic*: multiply-adds of the forward pass × 3 (backward costs twice as much) × images seen, over the "
        "fastest 2048×2048 matrix product on the same threads. *Traffic*: every layer's output and its gradient "
        "written once and read once, in the recipe's precision, over the fastest copy. Where the time goes instead, by "
        "torch's operations in a step (the five largest, by their own share):",
        "\n".join(f"- `{name}`: {_profile(found['profile'])}" for name, found in limits["recipes"].items()),
    ]
    return "\n\n".join(lines) + "\n"


def _machine(limits: Row) -> str:
    peaks = limits["multiply_adds_per_second"]
    return (
        f"{machine(limits, limits['threads'])}. Measured peak: {peaks['fp32'] / 1e9:,.0f} billion "
        f"multiply-adds a second in fp32, {peaks['bf16'] / 1e9:,.0f} in bf16; "
        f"{limits['bytes_per_second'] / 1e9:.1f} GB/s. {sentence(limits)}"
    )


def _of(rows: Sequence[Row], contender: str) -> list[Row]:
    return sorted((row for row in rows if row["contender"] == contender), key=lambda row: row["seed"])


def _epochs_needed(group: Sequence[Row], accuracy: float) -> int | None:
    """The first epoch, from 1, at whose end the mean over the seeds reaches the accuracy."""
    for epoch in range(len(group[0]["correct"])):
        if shortfall(_accuracy(group, epoch), accuracy) <= 0:
            return epoch + 1
    return None


def _accuracy(group: Sequence[Row], at: int) -> float:
    """The mean share of right answers at the end of an epoch, counted from 0; -1 is the last."""
    return _mean(group, lambda row: row["correct"][at] / row["seen"])[0]


def _mean(group: Sequence[Row], value: Callable[[Row], float]) -> tuple[float, float]:
    return mean_and_sd([value(row) for row in group])


def _spread(group: Sequence[Row], value: Callable[[Row], float], digits: int) -> str:
    mean, sd = _mean(group, value)
    return f"{mean:.{digits}f}" if len(group) == 1 else f"{mean:.{digits}f} ± {sd:.{digits}f}"


def _table(rows: Sequence[Row]) -> str:
    cells = []
    for race in RACES:
        for contender in (race.recipe, race.plain):
            group = _of(rows, contender)
            if not group:
                cells.append([percent(race.accuracy, 1), contender, "not measured yet", "", "", "", ""])
                continue
            epoch = _decisive_epoch(race, contender, group)
            cells.append([
                percent(race.accuracy, 1), f"`{contender}`" if contender == race.recipe else contender,
                len(group), _epochs(group, epoch, contender == race.recipe),
                _spread(group, lambda row, at=epoch: 100 * row["correct"][at - 1] / row["seen"], 3),  # type: ignore[misc]
                _spread(group, lambda row, at=epoch: row["training"][at - 1], 2),  # type: ignore[misc]
                _spread(group, lambda row, at=epoch: row["process"][at - 1], 2),  # type: ignore[misc]
            ])  # fmt: skip
    header = ["to", "what", "n", "epochs", "test accuracy, %", "training seconds", "from process start"]
    return table(header, cells, "llrrrrr")


def _decisive_epoch(race: Race, contender: str, group: Sequence[Row]) -> int:
    """Where a contender is counted: the example at the epoch that it needs, gap-cnn at its last, ours at their end."""
    if contender == "pytorch-example":
        return _epochs_needed(group, race.accuracy) or len(group[0]["correct"])
    return len(group[0]["correct"])


def _epochs(group: Sequence[Row], epoch: int, ours: bool) -> str:
    return str(group[0]["recipe"]["epochs"] if ours else epoch)


def _race(race: Race, rows: Sequence[Row]) -> str:
    ours, plain = _of(rows, race.recipe), _of(rows, race.plain)
    if not ours or not plain:
        return f"To {percent(race.accuracy, 1)}: not measured yet."
    at = _decisive_epoch(race, race.plain, plain)
    reached = _accuracy(ours, -1)
    if shortfall(reached, race.accuracy) > 0:
        return f"To {percent(race.accuracy, 1)}: `{race.recipe}` reaches {percent(reached, 3)}, so it has no time."
    times = {
        kind: _mean(plain, lambda row: row[kind][at - 1])[0] / _mean(ours, lambda row: row[kind][-1])[0]  # noqa: B023
        for kind in ("training", "process")
    }
    short = shortfall(_accuracy(plain, at - 1), race.accuracy) > 0
    missed = " (which the plain way does not reach in these epochs)" if short else ""
    return (
        f"To {percent(race.accuracy, 1)}{missed}: {times['training']:.0f}× less training time than {race.plain}, "
        f"{times['process']:.0f}× from process start; aimed at {race.aim:.0f}×."
    )


def _floor(limits: Row, rows: Sequence[Row]) -> str:
    cells = []
    for name, found in limits["recipes"].items():
        group = _of(rows, name)
        if not group:
            continue
        seen = group[0]["images_seen"]
        seconds = _mean(group, lambda row: row["training"][-1])[0]
        rates = limits["multiply_adds_per_second"]
        floors = {kind: 3 * found["multiply_adds"] * seen / rate for kind, rate in rates.items()}
        num_bytes = 2 if found["precision"] == "bf16" else 4
        traffic = 4 * num_bytes * found["activations"] * seen / limits["bytes_per_second"]
        cells.append([
            f"`{name}`", f"{found['num_parameters']:,}", f"{found['multiply_adds']:,}", f"{seen:,}",
            f"{floors['fp32']:.2f}", f"{floors['bf16']:.2f}", f"{traffic:.2f}", f"{seconds:.2f}",
            f"{seconds / max(floors[found['precision']], traffic):.1f}×",
        ])  # fmt: skip
    header = [
        "recipe", "parameters", "multiply-adds an image", "images seen", "arithmetic in fp32, s", "in bf16, s",
        "traffic, s", "training, s", "above the higher floor",
    ]  # fmt: skip
    return table(header, cells, "lrrrrrrrr")


def _profile(shares: dict[str, float]) -> str:
    return ", ".join(f"{operation} {percent(share, 0)}" for operation, share in shares.items())


COMMANDS = (measure, plain)
