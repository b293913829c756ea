"""How a training shows itself: a bar on a terminal, one plain line an epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from tinydigits.figures import count_of, megabytes, percent
from tinydigits.run import Record, Run
from tinydigits.training import Progress, Reporter

__all__ = ["LineReporter", "clock", "make_reporter"]


def make_reporter() -> Reporter:
    """A bar where standard output is a terminal or a notebook, else lines: logs of CI and nohup stay readable."""
    return BarReporter() if sys.stdout.isatty() or "ipykernel" in sys.modules else LineReporter()


class LineReporter(Reporter):
    """One line at the start, one an epoch, and the result."""

    def say(self, line: str) -> None:
        print(line)

    def on_start(self, run: Run, record: Record) -> None:
        self.epochs = record.recipe["epochs"]
        validation = f", {record.num_validation:,} for validation" if record.num_validation else ""
        together = f", {record.world_size} processes by {record.backend}" if record.world_size > 1 else ""
        layers = ""
        in_c = record.recipe.get("batch_last") or record.recipe.get("fused")
        if in_c and record.device == "cpu" and record.world_size == 1:
            by = record.versions.get("compiler")
            layers = (
                f", layers compiled by {by}" if by else ", torch's layers, which are slower: those in C do not compile"
            )
        print(
            f"{record.recipe['name']}: {record.recipe['model']['name']}, {record.num_parameters:,} parameters, "
            f"on {record.source_label} ({record.num_train:,} images{validation}), {count_of(self.epochs, 'epoch')}, "
            f"seed {record.recipe['seed']}, {record.device}, {count_of(record.threads, 'thread')}{together}{layers}"
        )

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        parts = [
            f"epoch {row['epoch']}/{self.epochs}",
            f"loss {row['train_loss']:.4f}",
            f"train {percent(row['train_accuracy'])}",
        ]
        if row["validation_accuracy"] is not None:
            parts.append(f"validation {percent(row['validation_accuracy'])}")
        self.say("  ".join([*parts, f"lr {row['lr']:.2g}", f"{row['seconds']:.1f} s"]))

    def on_finish(self, run: Run, record: Record) -> None:
        result, seconds = record.result, record.seconds
        assert result is not None  # a finished run has one
        print(
            f"{record.source_label}: {percent(result.accuracy)} of {result.seen:,} {result.split} images "
            f"after {count_of(record.epochs, 'epoch')}; {seconds.training:.1f} s of training "
            f"(start-up {seconds.start_up:.1f} s, evaluation {seconds.evaluation:.1f} s), "
            f"peak memory {megabytes(record.peak_memory_bytes)}"
        )
        print(f"run: {run.folder}")


class BarReporter(LineReporter):
    """A bar for the running epoch: batch, loss, accuracy, learning rate, images/s, time left for the whole run."""

    def on_start(self, run: Run, record: Record) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        super().on_start(run, record)
        self.bar = Bar(
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"), transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task("starting", total=None, figures="")
        self.bar.start()

    def on_progress(self, progress: Progress) -> None:
        figures = (
            f"loss {progress.loss:.4f}  {percent(progress.accuracy)}  lr {progress.lr:.2g}  "
            f"{progress.images_per_second:,.0f} images/s  {clock(progress.seconds_left)} left"
        )
        self.bar.update(
            self.task, description=f"epoch {progress.epoch}/{progress.epochs}", total=progress.num_batches,
            completed=progress.batch, figures=figures,
        )  # fmt: skip

    def say(self, line: str) -> None:
        self.bar.console.print(line, markup=False, highlight=False)

    def on_end(self) -> None:
        self.bar.stop()


def clock(seconds: float) -> str:
    """A duration as hours, minutes and seconds.

    >>> clock(75), clock(3_661)
    ('1:15', '1:01:01')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
