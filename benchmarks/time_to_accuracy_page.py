"""docs/time-to-accuracy.md, from the lines that `benchmarks.time_to_accuracy measure` wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.provenance import sentence
from benchmarks.time_to_accuracy import RACES, Race
from tinydigits.report.text import table
from tinydigits.stats import mean_and_sd, shortfall

__all__ = ["page"]

Row = dict[str, Any]


def page(rows: Sequence[Row]) -> str:
    """The page; a contender without a line is said not to have been measured."""
    lines = [
        "# Time to accuracy",
        "Generated from `benchmarks/results/time_to_accuracy.jsonl` by `python -m benchmarks.time_to_accuracy page`; "
        "measured by `python -m benchmarks.time_to_accuracy measure`, each run in a process of its own, all in turn.",
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
    machine, versions, peaks = limits["machine"], limits["versions"], limits["multiply_adds_per_second"]
    return (
        f"{machine['processor']}, {machine['num_cores']} cores, {limits['threads']} threads, torch "
        f"{versions['torch']}, Python {versions['python']}. Measured peak: {peaks['fp32'] / 1e9:,.0f} billion "
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
                cells.append([f"{100 * race.accuracy:.1f} %", contender, "not measured yet", "", "", "", ""])
                continue
            epoch = _decisive_epoch(race, contender, group)
            cells.append([
                f"{100 * race.accuracy:.1f} %", f"`{contender}`" if contender == race.recipe else contender,
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
        return f"To {100 * race.accuracy:.1f} %: not measured yet."
    at = _decisive_epoch(race, race.plain, plain)
    reached = _accuracy(ours, -1)
    if shortfall(reached, race.accuracy) > 0:
        return f"To {100 * race.accuracy:.1f} %: `{race.recipe}` reaches {100 * reached:.3f} %, so it has no time."
    times = {
        kind: _mean(plain, lambda row: row[kind][at - 1])[0] / _mean(ours, lambda row: row[kind][-1])[0]  # noqa: B023
        for kind in ("training", "process")
    }
    short = shortfall(_accuracy(plain, at - 1), race.accuracy) > 0
    missed = " (which the plain way does not reach in these epochs)" if short else ""
    return (
        f"To {100 * race.accuracy:.1f} %{missed}: {times['training']:.0f}× less training time than {race.plain}, "
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
    return ", ".join(f"{operation} {100 * share:.0f} %" for operation, share in shares.items())
