"""`td.train` and `td.resume`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tinydigits.errors import TinydigitsError
from tinydigits.library._names import run_of, spec_of
from tinydigits.library._process import leaves_process_as_found

if TYPE_CHECKING:
    from torch import nn

    from tinydigits.library._names import Model
    from tinydigits.recipe import Recipe
    from tinydigits.run import Run
    from tinydigits.training import Reporter

    Images: TypeAlias = tuple[Any, Any]
    Callback: TypeAlias = Reporter | Callable[[Mapping[str, Any]], bool | None]

__all__ = ["resume", "train"]

_FOR_OWN = "digits"
"""The recipe for a folder of pictures or a model of one's own, where none is named."""


@leaves_process_as_found
def train(
    what: str | Path | Recipe | type[nn.Module] | nn.Module | None = None,
    *,
    model: Model | None = None,
    images: Images | None = None,
    validation: Images | None = None,
    test: Images | None = None,
    classes: Sequence[str] | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    set: Mapping[str, Any] | None = None,
    out: str | Path = "runs",
    device: str = "auto",
    threads: int | None = None,
    callbacks: Iterable[Callback] = (),
    quiet: bool = False,
) -> Run:
    """Train a recipe, a folder of pictures or a model of your own, and write a run.

    >>> import tempfile, tinydigits as td
    >>> with tempfile.TemporaryDirectory() as out:
    ...     td.train("digits", epochs=2, out=out, quiet=True).record.epochs
    2

    `what` is a recipe, its name or its TOML file; or a folder with a folder of pictures for each class; or a model, as
    a class, a module or `path/to/file.py:Class`. Folders and models are trained by the recipe `digits`; `model`
    replaces any recipe's model. `set` has further fields of the recipe: `{"optimizer.lr": 0.01}`.

    `images`, `validation` and `test` are pairs (images, labels) of NumPy arrays or tensors: images (N, 28, 28), uint8
    or floating point of 0 to 1, bright ink on 0; labels (N,) count from 0, and `classes` names them. The run keeps
    their digests, not the images, and says that they came from memory.

    Each of `callbacks` is called with the row of `history.csv` of each epoch, and ends the training where it returns
    True; a `Reporter` hears more. A terminal and a notebook show a bar, anything else lines, `quiet` nothing.

    Raises TinydigitsError for settings, images and models that do not fit, TrainingDiverged for a loss that is not
    finite, and Interrupted after Ctrl-C, from where `resume` goes on.
    """
    from tinydigits.data import memory
    from tinydigits.training import train as train_recipe

    base, changes = what, dict(set or {})
    if _is_model(what):
        base, model = _FOR_OWN, model or what  # type: ignore[assignment]
    elif isinstance(what, str | Path) and Path(what).expanduser().is_dir():
        base, changes["data.source"] = _FOR_OWN, str(what)
    changes |= {key: value for key, value in {"epochs": epochs, "seed": seed}.items() if value is not None}
    if images is not None:
        changes["data.source"] = memory.hold({"train": images, "validation": validation, "test": test}, classes)
        if validation is not None:
            changes["data.validation"] = len(validation[1])
    elif (validation, test, classes) != (None, None, None):
        raise TinydigitsError("train", "validation, test and classes go with images=(images, labels)")
    if model is not None:
        changes["model"] = {"name": spec_of(model)}
    recipe = _recipe(base, changes)
    run = train_recipe(recipe, out=out, device=device, threads=threads, reporter=_reporter(callbacks, quiet=quiet))
    return _reported(run)


@leaves_process_as_found
def resume(
    run: str | Path | Run | None = None,
    *,
    epochs: int | None = None,
    out: str | Path = "runs",
    model: Model | None = None,
    data: str | Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    callbacks: Iterable[Callback] = (),
    quiet: bool = False,
) -> Run:
    """Go on with a run that was stopped, to the same bits; a finished one is returned as it is, or trained for longer.

    >>> import tempfile, tinydigits as td
    >>> with tempfile.TemporaryDirectory() as out:
    ...     run = td.train("digits", epochs=1, out=out, quiet=True)
    ...     td.resume(run, quiet=True).record.resumed
    0

    `run` is a run, its folder or its name in `out`; by default the latest. `epochs` are those of the whole run, more
    than its recipe has: the schedule goes on as that of so many epochs does, and the record says so. `model` and
    `data` say where its code and its images are now, if they have moved. Raises TinydigitsError where the run, its code
    or its images are not as they were.
    """
    from tinydigits.training import resume as resume_run

    if epochs is not None and not isinstance(epochs, int):
        raise TinydigitsError("resume", got=f"epochs={epochs!r}", expected="a whole number")
    found = run_of(run, out)
    named = None if model is None else spec_of(model)
    source = None if data is None else str(data)
    reporter = _reporter(callbacks, quiet=quiet)
    return _reported(
        resume_run(found, device=device, threads=threads, reporter=reporter, model=named, source=source, epochs=epochs)
    )  # fmt: skip


def _is_model(what: Any) -> bool:
    """Whether it is a model, and not a recipe, a file of one or a folder of pictures."""
    from tinydigits.recipe import Recipe

    if isinstance(what, str):
        return ":" in what and not Path(what).exists()
    return not (what is None or isinstance(what, Path | Recipe))


def _recipe(base: Any, changes: Mapping[str, Any]) -> Recipe:
    """A recipe, by its name or file or as it is, with changes."""
    from tinydigits import recipe

    values = {key: str(value) if isinstance(value, Path) else value for key, value in changes.items()}
    if isinstance(base, recipe.Recipe):
        return recipe.change(base, values)
    return recipe.load(recipe.DEFAULT if base is None else base, values)


def _reporter(callbacks: Iterable[Callback], *, quiet: bool) -> Reporter:
    from tinydigits.progress import make_reporter
    from tinydigits.training import Reporter, Reporters

    class Epochs(Reporter):
        """Calls a function at the end of each epoch."""

        def __init__(self, function: Callable[[Mapping[str, Any]], bool | None]) -> None:
            self.function = function

        def on_epoch(self, row: Mapping[str, Any]) -> bool | None:
            return self.function(dict(row))

    callbacks = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    strange = next((each for each in callbacks if not (callable(each) or isinstance(each, Reporter))), None)
    if strange is not None:
        raise TinydigitsError("callbacks", got=repr(strange), expected="functions of an epoch's row, or Reporters")
    reporters = [callback if isinstance(callback, Reporter) else Epochs(callback) for callback in callbacks]
    return Reporters(reporters if quiet else [*reporters, make_reporter()])


def _reported(run: Run) -> Run:
    """The run, with its report in its folder; among several processes the first writes it."""
    from tinydigits.report import write_run_report
    from tinydigits.training import is_first_process

    if is_first_process():
        write_run_report(run)
    return run
