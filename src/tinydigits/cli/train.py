"""`tinydigits train`: a recipe becomes a run."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from tinydigits.recipe import Recipe
    from tinydigits.run import Run
    from tinydigits.training import Logger

__all__ = ["train"]

FALLBACK = "digits"


def train(
    recipe: Annotated[str | None, typer.Argument(help="A recipe's name or TOML file; `recipes ls` lists them.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="A model's name, or file.py:Class, in place of the recipe's, or of a run's."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", help="A data set or folder, in place of the recipe's; with --resume: where it is now."
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", "-e", help="Epochs, in place of the recipe's; with --resume: in all.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", "-s", help="The seed, in place of the recipe's.")] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Train so many runs, with seeds from the first on.")] = 1,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any field of the recipe; repeatable.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder that runs are written to.")] = Path("runs"),
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Take up a run that was stopped.")
    ] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or mps.")] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads on the CPU; by default one where batches are small.")
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option("--log", metavar="LOGGER", help="Write files for a viewer, too: tensorboard, mlflow. Repeatable."),
    ] = None,
) -> None:
    """Train a recipe and write a run: record, history, checkpoint, weights, pictures, report.

    Without a RECIPE the default one is trained on MNIST, or the recipe `digits` where MNIST cannot be reached.
    """
    from tinydigits.errors import DataUnavailable, TinydigitsError
    from tinydigits.recipe import DEFAULT, load, parse_settings
    from tinydigits.run import at_latest
    from tinydigits.training import is_first_process

    if resume is not None:
        if recipe or settings or seed is not None or seeds > 1:
            raise TinydigitsError("train --resume", "takes no recipe and no change to it but --epochs: it has its own")
        _resume(resume, model, source, out, device, threads, log, epochs)
        return
    named = {"epochs": epochs, "seed": seed, "data.source": source, "model": {"name": model} if model else None}
    changes = parse_settings("train", settings or [])
    changes |= {key: value for key, value in named.items() if value is not None}
    train_all = partial(_train, seeds=seeds, out=out, device=device, threads=threads, log=log)
    try:
        finished = train_all(load(at_latest(recipe or DEFAULT, out), changes))
    except DataUnavailable as error:
        if recipe is not None or "data.source" in changes:
            raise  # asked for by name
        if is_first_process():
            typer.echo(f"{error}. Training the recipe {FALLBACK!r} on bundled data instead.")
        finished = train_all(load(FALLBACK, changes))
    if not is_first_process():
        _leave()
    if seeds > 1:
        _print_spread(finished)
    typer.echo(f"next: tinydigits verify {_short(finished[-1])}")


def _leave() -> NoReturn:
    """End a process that has finished a training and has nothing to write, at once.

    The first process writes the run and exits by its own answer. Here gloo's threads may still be letting go of the
    last exchange, and abort a Python that is being taken down.
    """
    import os

    os._exit(0)


def _train(
    first: Recipe, *, seeds: int, out: Path, device: str | None, threads: int | None, log: list[str] | None
) -> list[Run]:
    """Train a recipe under so many seeds, from its own on."""
    from tinydigits import library, models
    from tinydigits.training import name_teachers

    models.allow(first.model.name, lasting=True)  # `verify` will find the name in the run
    first = name_teachers(first)  # the first seed's run is the newest when the second begins
    recipes = (first.model_copy(update={"seed": first.seed + number}) for number in range(seeds))
    how: dict[str, Any] = {"out": out, "device": device or "auto", "threads": threads}
    return [library.train(recipe, callbacks=_loggers(log), **how) for recipe in recipes]


def _resume(
    target: str, model: str | None, source: str | None, out: Path, device: str | None, threads: int | None,
    log: list[str] | None, epochs: int | None,
) -> None:  # fmt: skip
    from tinydigits import library
    from tinydigits.run import open_run
    from tinydigits.training import is_first_process

    run = open_run(target, out)
    if run.record.status == "finished" and epochs is None and is_first_process():
        typer.echo(f"{run.folder} is finished already")
    library.resume(
        run, device=device, threads=threads, callbacks=_loggers(log), model=model, data=source, epochs=epochs
    )  # fmt: skip
    if not is_first_process():
        _leave()
    typer.echo(f"next: tinydigits verify {_short(run)}" + (f" --model {shlex.quote(model)}" if model else ""))


def _loggers(log: list[str] | None) -> list[Logger]:
    from tinydigits.training import make_logger

    return [make_logger(name) for name in dict.fromkeys(log or [])]


def _print_spread(finished: list[Run]) -> None:
    from tinydigits.figures import spread

    results = [run.record.result for run in finished]
    accuracies = [result.accuracy for result in results if result is not None]
    record, result = finished[0].record, results[0]
    assert result is not None  # a finished run has one
    typer.echo(
        f"{record.recipe['name']} on {record.source_label}: {spread(accuracies, 2)} of {result.seen:,} {result.split} "
        f"images (mean ± standard deviation, {len(finished)} seeds)"
    )


def _short(run: Run) -> str:
    """The shortest way to name a run on the command line."""
    import os

    return os.path.relpath(run.folder) if run.folder.is_relative_to(Path.cwd()) else str(run.folder)
