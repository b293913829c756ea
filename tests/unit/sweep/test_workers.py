"""Workers that are killed, stopped, or taken for dead: no trial is lost, none counts twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from benchmarks.reliability.sweeps import QUICK, kill_workers, miscounts, start, wait_until
from tinydigits import sweep
from tinydigits.run import Run, runs_in
from tinydigits.sweep import Sweep
from tinydigits.sweep.standing import stand


def test_workers_killed_at_random_lose_and_double_nothing(tmp_path: Path) -> None:
    assert kill_workers(tmp_path, kills=4)[0] == []


def test_a_miscount_would_show(tmp_path: Path) -> None:
    study = sweep.create(Sweep(name="m", recipe="two-conv", set=QUICK, vary={"epochs": [1, 2]}), tmp_path)
    assert "it is not finished" in miscounts(study, 2)
    sweep.work(study, threads=1, device="cpu")
    assert miscounts(study, 2) == []
    study.optuna.add_trial(study.optuna.trials[0])
    assert "trial 0 counts 2 times" in miscounts(study, 2)


def test_a_worker_that_was_taken_for_dead_does_not_count(tmp_path: Path) -> None:
    """It stands still for longer than the others wait, and then goes on."""
    study = sweep.create(Sweep(name="z", recipe="two-conv", set=QUICK, vary={"epochs": [60, 1]}), tmp_path)
    slow = start(study, tmp_path, place="elsewhere")
    wait_until(lambda: study.standing().rows and study.standing().rows[0].run)
    slow.send_signal(signal.SIGSTOP)
    try:
        assert start(study, tmp_path, place="here").wait(120) == 0
        before = study.standing().done
    finally:
        slow.send_signal(signal.SIGCONT)
    assert slow.wait(120) == 0
    assert miscounts(study, 2) == []
    assert study.standing().done == before
    (_, other) = sorted(trial.user_attrs["owner"].partition(":")[0] == "elsewhere" for trial in study.optuna.trials)[
        -2:
    ]
    assert other


def test_of_two_workers_that_begin_at_the_same_place_the_later_one_withdraws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = sweep.create(Sweep(name="r", recipe="two-conv", set=QUICK, vary={"epochs": [1, 2]}), tmp_path)
    rival = {"slot": 0, "owner": "elsewhere:1:1", "beat": 0}
    study.optuna.add_trial(optuna.create_trial(state=optuna.trial.TrialState.RUNNING, user_attrs=rival))
    blind = [stand(study.sweep, []), stand(study.sweep, study.optuna.trials)]  # the first look came too early
    monkeypatch.setattr("tinydigits.sweep.worker.stand", lambda *found: blind.pop(0) if blind else stand(*found))
    sweep.work(study, lease=sweep.Lease(grace_seconds=1), threads=1, device="cpu")
    assert miscounts(study, 2) == []
    # The rival's place is left alone until it has been silent for long enough.
    places = [(trial.user_attrs["slot"], trial.state.name) for trial in study.optuna.trials]
    assert places == [(0, "FAIL"), (0, "FAIL"), (1, "COMPLETE"), (0, "COMPLETE")]


def test_a_place_that_a_killed_worker_has_enqueued_is_taken_once(tmp_path: Path) -> None:
    study = sweep.create(Sweep(name="e", recipe="two-conv", set=QUICK, vary={"epochs": [1, 2]}), tmp_path)
    study.optuna.enqueue_trial({}, user_attrs={"slot": 1, "owner": "elsewhere:1:1"})
    assert not study.standing().rows  # nobody works on it
    sweep.work(study, threads=1, device="cpu")
    assert miscounts(study, 2) == []
    assert study.optuna.trials[0].state.name == "COMPLETE" and study.optuna.trials[0].user_attrs["slot"] == 1


def test_a_run_whose_worker_was_killed_before_it_could_name_it_is_taken_up(tmp_path: Path) -> None:
    study = sweep.create(Sweep(name="n", recipe="two-conv", set=QUICK, vary={"epochs": [1, 2]}), tmp_path)
    begin = """
import os, signal, sys
from tinydigits.sweep import open_study, work, worker
worker.train = lambda *given, reporter, **named: train(*given, **named, reporter=Killed())
class Killed(worker.Reporter):
    def on_start(self, run, record): os.kill(os.getpid(), signal.SIGKILL)
from tinydigits.training import train
work(open_study(*sys.argv[1:]), threads=1, device="cpu")
"""
    killed = subprocess.run([sys.executable, "-c", begin, study.name, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL and len(runs_in(study.folder)) == 1
    sweep.work(study, threads=1, device="cpu")
    assert miscounts(study, 2) == []
    assert [run.record.resumed for run in runs_in(study.folder)] == [1, 0]


def test_a_stopped_study_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    study = sweep.create(Sweep(name="c", recipe="two-conv", set=QUICK, vary={"epochs": [40]}), tmp_path)
    worker = start(study, tmp_path)
    wait_until(lambda: any((run.folder / "history.csv").is_file() for run in runs_in(study.folder)))
    worker.send_signal(signal.SIGINT)
    assert worker.wait(60) != 0
    assert not study.standing().rows  # given up, so that anyone may take it
    assert start(study, tmp_path).wait(120) == 0
    (row,) = study.standing().done
    assert Run(study.folder / row.run).record.resumed == 1
    assert len(runs_in(study.folder)) == 1


def test_a_signal_ends_the_command_and_the_same_command_goes_on(tmp_path: Path) -> None:
    words = "sweep two-conv --set data.source=digits --vary optimizer.lr=0.01,0.02 --set epochs=60 --workers 2"
    command = [sys.executable, "-m", "tinydigits", *words.split(), "--threads", "1", "--out", str(tmp_path)]
    begun = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(list(tmp_path.glob("*/*_*/history.csv"))) == 2)
    begun.send_signal(signal.SIGTERM)
    _, errors = begun.communicate(timeout=120)
    assert begun.returncode == 143 and "sweep join" in errors
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "2 of 2 done" in done.stdout
    again = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert "were there already" in again.stdout
    (folder,) = tmp_path.iterdir()
    assert [run.record.resumed for run in runs_in(folder)] == [1, 1]


def test_two_machines_share_a_study_by_postgresql_and_one_is_killed(postgres: str, tmp_path: Path) -> None:
    """Each has a working folder of its own; what tells the one that the other is dead is its silence."""
    first, second = tmp_path / "first", tmp_path / "second"
    asked = Sweep(name="p", recipe="two-conv", set=QUICK, vary={"epochs": [60, 1, 2]}, seeds=2)
    study = sweep.create(asked, first, storage=postgres)
    killed = start(study, first, storage=postgres, place="first")
    wait_until(lambda: study.standing().rows and study.standing().rows[0].run)
    survivor = start(study, second, storage=postgres, place="second")
    wait_until(lambda: study.standing().num_running == 2 or study.standing().done)
    killed.kill()
    killed.wait()
    assert survivor.wait(180) == 0
    assert miscounts(study, 6) == []
    theirs = {run.name for run in runs_in(second / study.name)}
    assert {row.run for row in study.standing().done} == theirs
    assert study.standing().rows[0].run not in {run.name for run in runs_in(first / study.name)}
    assert sweep.open_study(study.name, second).storage == postgres  # known from the folder by now


def test_a_command_joins_a_study_that_it_knows_by_the_storage_alone(postgres: str, tmp_path: Path) -> None:
    study = sweep.create(
        Sweep(name="q", recipe="two-conv", set=QUICK, vary={"epochs": [1, 2]}), tmp_path / "first", storage=postgres
    )
    words = ["sweep", "join", study.name, "--storage", postgres, "--workers", "2", "--out", str(tmp_path / "second")]
    command = [sys.executable, "-m", "tinydigits", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 done" in done.stdout
    assert miscounts(study, 2) == []
    assert not runs_in(study.folder) and len(runs_in(tmp_path / "second" / study.name)) == 2
