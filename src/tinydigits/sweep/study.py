"""A study: a sweep that was begun, in a folder of runs and in Optuna's storage."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinydigits import data, models, recipe
from tinydigits.errors import TinydigitsError
from tinydigits.extras import extra
from tinydigits.recipe import Recipe
from tinydigits.run import at_latest, write_atomic
from tinydigits.sweep.fields import Point, Sweep
from tinydigits.sweep.files import check, load, to_toml
from tinydigits.sweep.ranges import Range
from tinydigits.sweep.standing import Standing, stand
from tinydigits.text import read_text

if TYPE_CHECKING:
    import optuna

__all__ = ["Study", "create", "open_study"]

_HELD_OUT = 6  # a sixth of the training images: 10,000 of MNIST's 60,000


@dataclass(frozen=True)
class Study:
    """A sweep with its recipe, its folder, and the storage that all its workers share.

    >>> import tempfile
    >>> sweep = Sweep(name="mine", recipe="digits", vary={"epochs": [1, 2]}, seeds=2)
    >>> with tempfile.TemporaryDirectory() as out:
    ...     study = create(sweep, out)
    ...     study.standing().total, sorted(path.name for path in study.folder.iterdir())
    (4, ['journal.log', 'recipe.toml', 'sweep.toml'])
    """

    folder: Path
    sweep: Sweep
    recipe_text: str
    storage: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For another process: without what this one has opened."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def name(self) -> str:
        """The folder's own name, by which the storage knows it, too."""
        return self.folder.name

    @cached_property
    def optuna(self) -> optuna.Study:
        """The study as Optuna has it, for its own tools: `study.optuna.trials_dataframe()`."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it says of each trial, the progress says
        return optuna.create_study(
            study_name=self.name, storage=_storage(self.folder, self.storage), load_if_exists=True,
            direction="maximize", sampler=optuna.samplers.RandomSampler(),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
        )  # fmt: skip

    @cached_property
    def grid(self) -> list[Point]:
        """Every trial of a grid."""
        return self.sweep.grid()

    @cached_property
    def ranges(self) -> dict[str, Range]:
        """Every range of a search, those that the model declares included."""
        from tinydigits.sweep.options import declared_ranges

        ranges = self.sweep.ranges
        if "model" in self.sweep.search:
            ranges = declared_ranges(self.recipe().model.name) | ranges
        return ranges

    def standing(self) -> Standing:
        """Where the study stands now."""
        return stand(self.sweep, self.optuna.get_trials(deepcopy=False))

    def recipe(self, settings: dict[str, Any] | None = None, seed_offset: int = 0) -> Recipe:
        """The recipe of one trial.

        Without `verify` a sixth of the training images is held out where the recipe holds out none.
        Raises TinydigitsError for settings that the recipe does not have or that do not fit.
        """
        changes = {**self.sweep.set, **(settings or {})}
        changed = recipe.parse(self.recipe_text, name=_stem(self.sweep.recipe), settings=changes)
        update: dict[str, Any] = {"seed": changed.seed + seed_offset}
        if self.sweep.contract is not None:
            update["contract"] = self.sweep.contract
        if not self.sweep.verify and not changed.data.validation:
            held_out = _num_train(changed.data.source) // _HELD_OUT
            update["data"] = changed.data.model_copy(update={"validation": held_out})
        return changed.model_copy(update=update)

    def require_named(self, recipe: Recipe) -> None:
        """Raise TinydigitsError where a trial's recipe names code that this user has not named."""
        command = f"tinydigits sweep join {shlex.quote(str(self.folder))}"
        models.choose_code(recipe.model.name, f"study {self.folder}", command=command)


def create(sweep: Sweep, out: str | Path = "runs", *, storage: str | None = None) -> Study:
    """The study of a sweep in `out`: one that is there, with all it has done, or a new one.

    The same sweep of the same recipe always has the same folder. `storage` is a PostgreSQL address; without one the
    study keeps a journal in its folder. Raises TinydigitsError where one of the settings does not fit the recipe.
    """
    text = read_text(recipe.file(sweep.recipe), f"recipe {sweep.recipe}")
    identity = hashlib.sha256(json.dumps([sweep.model_dump(mode="json"), text]).encode()).hexdigest()[:8]
    safe_name = re.sub(r"[^A-Za-z0-9.-]+", "-", sweep.name)
    study = Study(Path(out) / f"sweep_{safe_name}_{identity}", sweep, text, storage)
    _must_fit(study)
    _write(study)
    study.optuna.set_user_attr("sweep", sweep.model_dump(mode="json"))
    study.optuna.set_user_attr("recipe", text)
    return study


def open_study(target: str | Path, out: str | Path = "runs", *, storage: str | None = None) -> Study:
    """A study that was begun: its folder, its name in `out`, or its name in a PostgreSQL `storage`.

    Raises TinydigitsError where there is none.
    """
    for folder in (Path(target), Path(out) / str(target)):
        if (folder / "sweep.toml").is_file():
            kept = folder / "storage.txt"
            if storage is None and kept.is_file():
                storage = kept.read_text("utf-8").strip()
            if storage is None and not (folder / "journal.log").is_file():
                raise TinydigitsError(f"study {target}", "its storage had a password", hint="--storage postgresql://…")
            return _named(Study(folder, load(folder / "sweep.toml"), read_text(folder / "recipe.toml"), storage))
    if storage is None:
        raise TinydigitsError(f"study {target}", "no such folder", hint=f"ls {out}, or --storage postgresql://…")
    import optuna

    try:
        stored = optuna.load_study(study_name=str(target), storage=_storage(Path(out), storage))
    except KeyError as error:
        raise TinydigitsError(f"study {target}", "is not in this storage") from error
    study = Study(Path(out) / str(target), check(stored.user_attrs["sweep"]), stored.user_attrs["recipe"], storage)
    _write(study)
    return _named(study)


def _named(study: Study) -> Study:
    """A study that others may have begun: raises TinydigitsError for a model's code that this user has not named."""
    study.require_named(study.recipe())
    return study


def _write(study: Study) -> None:
    try:
        study.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TinydigitsError(str(study.folder), f"cannot be made: {error.strerror}", hint="--out FOLDER") from error
    write_atomic(study.folder / "sweep.toml", to_toml(study.sweep))
    write_atomic(study.folder / "recipe.toml", study.recipe_text)
    if study.storage is not None and not re.search(r"//[^/@]*:[^/@]*@", study.storage):  # a password is not kept
        write_atomic(study.folder / "storage.txt", study.storage + "\n")


def _must_fit(study: Study) -> None:
    """Try every trial's settings beforehand, as far as they are known."""
    if study.sweep.contract is not None:
        from tinydigits import contract

        contract.load(study.sweep.contract)
    distil = study.recipe().distil
    for name in distil.teachers if distil is not None else ():
        if "/" in name and at_latest(name) != name:
            raise TinydigitsError(
                f"sweep {study.sweep.name}: teacher {name}", "is another run before the sweep has ended",
                hint=at_latest(name),
            )  # fmt: skip
    models.allow(study.recipe().model.name, lasting=True)  # workers, and `verify`, will find the names in files
    if study.sweep.search:
        study.recipe({key: where.first for key, where in study.ranges.items() if not key.startswith("model.")})
        return
    for point in study.grid:
        trial = study.recipe(point.settings)
        models.allow(trial.model.name, lasting=True)
        if study.sweep.verify and trial.contract is None:
            raise TinydigitsError(
                f"sweep {study.sweep.name}", "verify asks for a contract, and the recipe names none", hint="--contract"
            )


def _storage(folder: Path, address: str | None) -> optuna.storages.BaseStorage:
    if address is None:
        from tinydigits.sweep.journal import open_journal

        return open_journal(folder / "journal.log")
    scheme, separator, rest = address.partition("://")
    if scheme not in ("postgresql", "postgres") or not separator:
        raise TinydigitsError("--storage", got=address, expected="postgresql://USER@HOST/DATABASE")
    import optuna

    with extra("postgres", "--storage"):
        import psycopg  # noqa: F401
    import sqlalchemy.exc

    try:
        # A connection that has died while a trial was training is noticed and made anew.
        return optuna.storages.RDBStorage(f"postgresql+psycopg://{rest}", engine_kwargs={"pool_pre_ping": True})
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise TinydigitsError(f"--storage {scheme}://…{rest.rpartition('@')[2]}", reason) from error


def _stem(name_or_path: str) -> str:
    return Path(name_or_path).stem if name_or_path.endswith(".toml") else name_or_path


def _num_train(source: str) -> int:
    return data.describe(source).num_train if source in data.names() else len(data.load(source, "train"))
