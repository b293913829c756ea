"""How a training shows itself: a bar on a terminal, one plain line an epoch elsewhere."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Mapping
from typing import Any

from tinydigits.figures import count_of, megabytes, percent
from tinydigits.run import Record, Run
from tinydigits.training import Progress, Reporter

__all__ = ["LineReporter", "clock", "make_reporter"]

_PRE = "font-family:var(--jp-code-font-family,monospace);white-space:pre-wrap;word-break:normal"


def make_reporter() -> Reporter:
    """A bar in a notebook and where standard output is a terminal, else lines: logs of CI and nohup stay readable."""
    ipython = sys.modules.get("IPython")
    if ipython is not None and hasattr(ipython.get_ipython(), "kernel"):
        return NotebookReporter()
    return BarReporter() if sys.stdout.isatty() else LineReporter()


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
        self.say(
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
        self.say(
            f"{record.source_label}: {percent(result.accuracy)} of {result.seen:,} {result.split} images "
            f"after {count_of(record.epochs, 'epoch')}; {seconds.training:.1f} s of training "
            f"(start-up {seconds.start_up:.1f} s, evaluation {seconds.evaluation:.1f} s), "
            f"peak memory {megabytes(record.peak_memory_bytes)}"
        )
        self.say(f"run: {run.folder}")


class BarReporter(LineReporter):
    """A bar for the running epoch: batch, loss, accuracy, learning rate, images/s, time left for the whole run."""

    def on_start(self, run: Run, record: Record) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        self.bar = Bar(
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"), transient=True,
        )  # fmt: skip
        self.task = self.bar.add_task("starting", total=None, figures="")
        super().on_start(run, record)
        self.bar.start()

    def on_progress(self, progress: Progress) -> None:
        self.bar.update(
            self.task, description=f"epoch {progress.epoch}/{progress.epochs}", total=progress.num_batches,
            completed=progress.batch, figures=_figures(progress),
        )  # fmt: skip

    def say(self, line: str) -> None:
        self.bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def on_end(self) -> None:
        self.bar.stop()


class NotebookReporter(LineReporter):
    """The lines as one output of a notebook's cell, over a bar for the whole training while it runs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bar, self.handle, self.shown_at = "", None, 0.0

    def say(self, line: str) -> None:
        self.lines.append(line)
        self._show()

    def on_progress(self, progress: Progress) -> None:
        if time.monotonic() - self.shown_at > 0.1:
            share = (progress.epoch - 1 + progress.batch / progress.num_batches) / progress.epochs
            words = f"epoch {progress.epoch}/{progress.epochs}  {_figures(progress)}"
            self.bar = f'<progress value="{share:.4f}" style="width:16em"></progress> <code>{words}</code>'
            self._show()

    def on_end(self) -> None:
        self.bar = ""
        self._show()

    def _show(self) -> None:
        from IPython.display import display

        text = "\n".join(self.lines)
        shown = {"text/plain": text, "text/html": f'<pre style="{_PRE}">{html.escape(text)}</pre>{self.bar}'}
        if self.handle is None:
            self.handle = display(shown, raw=True, display_id=True)
        else:
            self.handle.update(shown, raw=True)
        self.shown_at = time.monotonic()


def _figures(progress: Progress) -> str:
    return (
        f"loss {progress.loss:.4f}  {percent(progress.accuracy)}  lr {progress.lr:.2g}  "
        f"{progress.images_per_second:,.0f} images/s  {clock(progress.seconds_left)} left"
    )


def clock(seconds: float) -> str:
    """A duration as hours, minutes and seconds.

    >>> clock(75), clock(3_661)
    ('1:15', '1:01:01')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
