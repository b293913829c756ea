"""A worker: takes one trial after the other, trains it, says what came out, until the study is finished."""

from __future__ import annotations

import functools
import math
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from threading import Event
from typing import Any

import numpy as np
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from tinydigits import data
from tinydigits.errors import EndsProcess, Interrupted, TinydigitsError, TrainingDiverged
from tinydigits.recipe import Recipe
from tinydigits.run import Record, Run, runs_in
from tinydigits.sweep.fields import Point
from tinydigits.sweep.lease import Lease, is_gone
from tinydigits.sweep.options import compose, own_values
from tinydigits.sweep.standing import counts, occupies, stand
from tinydigits.sweep.study import Study
from tinydigits.training import Progress, Reporter, resume, train

__all__ = ["Worker"]

_SECONDS_BETWEEN_LOOKS = 0.5
_MOST_REJECTED_IN_A_ROW = 500
_MOST_LOSSES = 3

_load = functools.lru_cache(maxsize=1)(data.load)  # a worker reads the images once, not once a trial


class Worker:
    """Claims trials of a study, and trains them one after the other."""

    def __init__(self, study: Study, lease: Lease, threads: int | None, device: str) -> None:
        self.study, self.lease, self.threads, self.device = study, lease, threads, device
        self.optuna_study = study.optuna
        self.rejected_in_a_row = 0
        self.seconds_left: float | None = None

    # Claiming.

    def claim(self) -> Trial | None:
        """The next trial, as soon as there is one; None when the study is finished."""
        while True:
            trials = self.optuna_study.get_trials(deepcopy=False)
            if any(self._closed(trial) for trial in trials if trial.state == TrialState.RUNNING):
                continue  # look again: places have become free
            standing = stand(self.study.sweep, trials)
            if standing.is_finished:
                return None
            taken = {row.slot for row in standing.rows}
            total = len(taken) + 1 if standing.total is None else standing.total
            slot = next((slot for slot in range(total) if slot not in taken), None)
            if slot is None or standing.is_closed:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            elif (trial := self._begin(slot, trials)) is not None:
                if standing.budget_seconds is not None and standing.best is not None:
                    self.seconds_left = standing.budget_seconds - standing.spent_seconds
                return trial

    def _closed(self, trial: FrozenTrial) -> bool:
        """Close the trial of a worker that has died; says whether it is closed now."""
        attributes = trial.user_attrs
        if not self.lease.has_ended(trial.number, attributes.get("owner", ""), attributes.get("beat", 0)):
            return False
        self._give_up(trial.number)
        return True

    def _begin(self, slot: int, trials: list[FrozenTrial]) -> Trial | None:
        """Begin a trial for a place in the sweep; None where an earlier trial has the place.

        The place is enqueued, so that it is in the storage together with the trial's number, and whoever asks next has
        that trial: this worker, or another whose own is then left to this one.
        """
        before = [trial for trial in trials if trial.user_attrs.get("slot") == slot]
        self.optuna_study.sampler = self._sampler(slot, len(before))
        if not any(trial.state == TrialState.WAITING for trial in before):  # what a worker left that was killed here
            attributes = {"slot": slot, "owner": self.lease.owner}
            self.optuna_study.enqueue_trial(self._fixed(slot, before), user_attrs=attributes)
        trial = self.optuna_study.ask()
        with suppress(UpdateFinishedTrialError):  # closed as of the dead worker that enqueued it
            trial.set_user_attr("owner", self.lease.owner)
        begun = trial.user_attrs.get("slot")  # None where another has taken what was enqueued
        earlier = self.optuna_study.get_trials(deepcopy=False)[: trial.number]
        if begun is None or any(other.user_attrs.get("slot") == begun and occupies(other) for other in earlier):
            self._give_up(trial.number)
            return None
        return trial

    def _fixed(self, slot: int, before: list[FrozenTrial]) -> dict[str, Any]:
        """A search begins with what the recipe says itself, so that the best is no worse than that.

        What was drawn for a trial that was lost is what the one in its place takes, unless it keeps killing workers.
        """
        if self.study.sweep.search and slot == 0 and not before:
            return own_values(self.study.recipe(), self.study.ranges)
        lost = [trial for trial in before if trial.state == TrialState.FAIL and trial.params]
        draws_again = not self.study.sweep.search or len(lost) % _MOST_LOSSES == 0
        return {} if draws_again else lost[-1].params

    def _sampler(self, slot: int, attempt: int) -> Any:
        """A sampler of the trial's own seed: with one worker, a search is the same each time."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # The liar keeps workers that draw at the same moment apart.
            seed = int(np.random.SeedSequence([slot, attempt]).generate_state(1)[0])
            return TPESampler(seed=seed, constant_liar=True)

    # One trial.

    def run(self, trial: Trial) -> None:
        """Train a trial and tell what came out, or give it up."""
        with self.lease.beating(lambda beat: trial.set_user_attr("beat", beat)) as lost:
            try:
                self._run(trial, lost)
            except (Interrupted, KeyboardInterrupt) as error:
                if not lost.is_set():
                    self._give_up(trial.number)
                    raise Interrupted(f"study {self.study.name}", "a worker was stopped") from error
            except UpdateFinishedTrialError:
                pass  # taken for dead and closed by another worker: it does not count
            except BaseException:
                self._give_up(trial.number)
                raise

    def _run(self, trial: Trial, lost: Event) -> None:
        point = self._draw(trial)
        trial.set_user_attr("settings", point.settings)
        try:
            recipe = self.study.recipe(point.settings, point.seed_offset)
            broken = self._broken(recipe)
        except TinydigitsError as error:
            is_of_the_settings = not isinstance(error, EndsProcess) and not str(error.where).startswith("data ")
            if not self.study.sweep.search or not is_of_the_settings:
                raise
            broken = {"recipe": str(error)}  # settings that do not go together
        if broken:
            self._reject(trial, broken)
            return
        trial.set_user_attr("seed", recipe.seed)
        reporter = _Reporter(trial, lost, may_prune=bool(self.study.sweep.search), seconds_left=self.seconds_left)
        try:
            run = self._train(trial, recipe, reporter)
        except TrainingDiverged:
            self._close(trial, TrialState.PRUNED, "diverged")
        except Interrupted:
            if not reporter.pruned:
                raise
            self._close(trial, TrialState.PRUNED, "pruned")
        except TinydigitsError as error:
            is_of_model = str(error.where).startswith("model ") and not isinstance(error, EndsProcess)
            if not self.study.sweep.search or not is_of_model:
                raise
            self._reject(trial, {"model": str(error)})  # settings whose model does not fit the images
        else:
            self.rejected_in_a_row = 0
            facts = self._measure(run)
            trial.set_user_attr("facts", facts)
            self._close(trial, TrialState.COMPLETE, "finished", facts["correct"] / facts["seen"])

    def _draw(self, trial: Trial) -> Point:
        slot = trial.user_attrs["slot"]
        if self.study.sweep.search:
            return Point(compose({key: where.suggest(trial, key) for key, where in self.study.ranges.items()}))
        return self.study.grid[slot]

    def _broken(self, recipe: Recipe) -> dict[str, str]:
        if not (self.study.sweep.search and self.study.sweep.contract):
            return {}
        from tinydigits.sweep.limits import broken_limits

        num_train = len(self._training_images(recipe.data.source)) - recipe.data.validation
        return {one.check: one.measured for one in broken_limits(recipe, self.study.sweep.contract, num_train)}

    def _reject(self, trial: Trial, broken: Mapping[str, str]) -> None:
        """Close a trial that would break a limit; the sampler learns from it, and its place is free again."""
        for check in broken:
            trial.set_constraint(check, 1.0)
        trial.set_user_attr("broken", dict(broken))
        self._close(trial, TrialState.PRUNED, "rejected")
        self.rejected_in_a_row += 1
        if self.rejected_in_a_row >= _MOST_REJECTED_IN_A_ROW:
            check, measured = next(iter(broken.items()))
            raise TinydigitsError(
                f"study {self.study.name}", f"{self.rejected_in_a_row} trials in a row break a limit, the last {check}",
                got=measured, hint="narrower ranges",
            )  # fmt: skip

    def _train(self, trial: Trial, recipe: Recipe, reporter: Reporter) -> Run:
        self.study.require_named(recipe)
        begun = self._begun(trial, recipe)
        if begun is not None:
            return resume(begun, device=self.device, threads=self.threads, reporter=reporter)
        images = self._training_images(recipe.data.source)
        return train(
            recipe, out=self.study.folder, device=self.device, threads=self.threads, reporter=reporter, images=images
        )

    def _training_images(self, source: str) -> data.ImageSet:
        """A source's training images; raises TinydigitsError where earlier trials of the study had others.

        The study knows a folder as it was typed: on another machine it may lie elsewhere.
        """
        digests: dict[str, str] = self.optuna_study.user_attrs.get("data_sha256", {})
        images = data.Origin(data.locate(source), digests.get(source, "")).load("train", read=_load)
        if source not in digests:
            self.optuna_study.set_user_attr("data_sha256", digests | {source: images.sha256})
        return images

    def _begun(self, trial: Trial, recipe: Recipe) -> Run | None:
        """The run of a worker that was stopped or has died on this machine, with its checkpoint."""
        runs = runs_in(self.study.folder)  # before the trials: whoever has just begun one of these still runs below
        trials = [other for other in self.optuna_study.get_trials(deepcopy=False) if other.number != trial.number]
        named = {other.user_attrs["run"]: other for other in trials if "run" in other.user_attrs}
        settings = trial.user_attrs["settings"]
        # Killed after its run was there and before the storage had its name, a worker leaves a run that is nobody's.
        takes_unnamed = not any(
            other.state == TrialState.RUNNING and "run" not in other.user_attrs
            and other.user_attrs.get("settings", settings) == settings for other in trials
        )  # fmt: skip
        for run in reversed(runs):
            if (other := named.get(run.name)) is None:
                is_free = takes_unnamed
            else:
                owner = other.user_attrs["owner"]
                is_free = other.user_attrs["slot"] == trial.user_attrs["slot"] and not counts(other)
                is_free = is_free and (is_gone(owner) or owner == self.lease.owner)
            with suppress(TinydigitsError):
                if is_free and run.record.status != "diverged" and run.record.recipe == _tree(recipe):
                    return run
        return None

    def _measure(self, run: Run) -> dict[str, Any]:
        record = run.record
        assert record.result is not None  # a finished run has one
        facts: dict[str, Any] = {
            "split": record.result.split, "correct": record.result.correct, "seen": record.result.seen,
            "parameters": record.num_parameters, "training_seconds": round(record.seconds.training, 3),
        }  # fmt: skip
        if self.study.sweep.verify:
            from tinydigits.verification import Request, keep, prepare

            case = prepare(Request(target=str(run.folder), threads=self.threads or record.threads))
            verdict = case.judge()
            keep(case, verdict)
            facts["verdict"] = verdict.word
            for (_, split), (images, answers) in [*case.evaluations.items()][:1]:
                facts |= {"split": split, "correct": int(answers.correct), "seen": len(images)}
        return facts

    def _close(self, trial: Trial, state: Any, outcome: str, value: float | None = None) -> None:
        """Tell what came out, unless the trial was closed by another that took this worker for dead."""
        with suppress(UpdateFinishedTrialError):
            trial.set_user_attr("outcome", outcome)
            self.optuna_study.tell(trial, value, state=state, skip_if_finished=True)

    def _give_up(self, number: int) -> None:
        """Close a trial that does not count; another may have been faster."""
        with suppress(UpdateFinishedTrialError):
            self.optuna_study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


class _Reporter(Reporter):
    """Writes what Optuna needs as the training goes, and ends one that is hopeless or belongs to another by now."""

    def __init__(self, trial: Trial, lost: Event, *, may_prune: bool, seconds_left: float | None) -> None:
        self.trial, self.lost, self.may_prune, self.pruned = trial, lost, may_prune, False
        self.epochs = 0
        self.until = math.inf if seconds_left is None else time.monotonic() + seconds_left

    def on_start(self, run: Run, record: Record) -> None:
        self.trial.set_user_attr("run", run.name)
        self.epochs = record.recipe["epochs"]
        if self.may_prune and (run.folder / "history.csv").is_file():  # a run that is taken up
            for row in run.table("history.csv"):
                self.trial.report(row["validation_accuracy"] or 0.0, int(row["epoch"] or 0))

    def on_progress(self, progress: Progress) -> None:
        if self.lost.is_set():
            raise Interrupted("trial", "another worker has it")
        if time.monotonic() > self.until:
            self.pruned = True
            raise Interrupted("trial", "the budget is spent")

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        if not self.may_prune:
            return
        self.trial.report(row["validation_accuracy"], row["epoch"])
        if row["epoch"] < self.epochs and self.trial.should_prune():
            self.pruned = True
            raise Interrupted("trial", "pruned")


def _tree(recipe: Recipe) -> dict[str, Any]:
    """The recipe as its run records it."""
    tree = recipe.model_dump(mode="json", exclude_none=True)
    tree["data"]["source"] = data.locate(recipe.data.source)
    return tree
