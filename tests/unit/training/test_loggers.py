"""What a training writes for TensorBoard and MLflow, read back by their own libraries."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

import tinydigits.recipe
from tinydigits.cli.main import app
from tinydigits.environment import telemetry_off
from tinydigits.errors import Interrupted, TinydigitsError
from tinydigits.run import Run
from tinydigits.training import Logger, Reporter, Reporters, make_logger, resume, train
from tinydigits.training.loggers import names

Curves = dict[str, list[tuple[int, float]]]


def recipe(epochs: int = 3) -> tinydigits.recipe.Recipe:
    changes = ["data.source=digits", "data.batch_size=100", "data.validation=200", f"epochs={epochs}"]
    return tinydigits.recipe.load("two-conv", changes)


def expected(run: Run) -> Curves:
    """The curves as the run's own tables have them."""
    curves: Curves = {}
    for file, kind in (("history.csv", "epoch"), ("steps.csv", "step")):
        for row in run.table(file):
            for key, value in row.items():
                if key not in ("epoch", "images_seen") and value is not None:
                    curves.setdefault(f"{kind}/{key}", []).append((int(row["images_seen"] or 0), value))
    record = run.record
    assert record.result is not None
    curves["result/validation_accuracy"] = [(record.images_seen, record.result.accuracy)]
    curves["result/validation_loss"] = [(record.images_seen, record.result.loss)]
    return curves


def by_tensorboard(run: Run) -> Curves:
    events = EventAccumulator(str(run.folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def mlflow_run(run: Run) -> tuple[Any, Any]:
    with telemetry_off():
        from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{run.folder.parent}/mlflow.db")
    experiment = client.get_experiment_by_name(run.record.recipe["name"])
    (found,) = client.search_runs([experiment.experiment_id], f"tags.`tinydigits.run` = '{run.name}'")
    return client, found


def by_mlflow(run: Run) -> Curves:
    client, found = mlflow_run(run)
    return {
        name: sorted((metric.step, metric.value) for metric in client.get_metric_history(found.info.run_id, name))
        for name in found.data.metrics
    }


READ = {"tensorboard": by_tensorboard, "mlflow": by_mlflow}


def same(found: Curves, wanted: Curves) -> bool:
    assert found.keys() == wanted.keys()
    return all(
        [step for step, _ in found[name]] == [step for step, _ in points]
        and [value for _, value in found[name]] == pytest.approx([value for _, value in points], rel=1e-6)
        for name, points in wanted.items()
    )


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of runs: MLflow takes its time to make the tables of its file, once."""
    return tmp_path_factory.mktemp("runs")


class Stop(Reporter):
    """Ends a training after an epoch: like Ctrl-C, or like a process that is killed before a line is written."""

    def __init__(self, error: type[Exception], epoch: int = 1) -> None:
        self.error, self.epoch = error, epoch

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        if row["epoch"] == self.epoch:
            raise self.error("stopped by the test")


class Killed(Logger):
    """A logger whose process is gone: it never hears of the end."""

    def __init__(self, logger: Logger) -> None:
        self.open, self.write = logger.open, logger.write  # type: ignore[method-assign]

    def on_end(self) -> None:
        pass


def test_the_command_line_writes_for_both_and_changes_no_bit_of_the_training(tmp_path: Path) -> None:
    settings = ["two-conv", "--data", "digits", "--set", "data.batch_size=100", "--set", "data.validation=200"]
    for out, log in (("plain", []), ("logged", ["--log", "tensorboard", "--log", "mlflow"])):
        arguments = ["train", *settings, "--threads", "1", "--out", str(tmp_path / out), *log]
        assert CliRunner().invoke(app, arguments).exit_code == 0
    plain, logged = (Run((tmp_path / out / "latest").resolve()) for out in ("plain", "logged"))
    for file in ("weights.safetensors", "steps.csv"):
        assert plain.file(file).read_bytes() == logged.file(file).read_bytes()
    assert not (plain.folder / "tensorboard").exists() and not (tmp_path / "plain" / "mlflow.db").exists()
    for name in names():
        assert same(READ[name](logged), expected(logged)), name
    _, found = mlflow_run(logged)
    assert found.info.status == "FINISHED"
    assert found.data.params["optimizer.name"] == logged.record.recipe["optimizer"]["name"]
    assert found.data.params["num_parameters"] == "13242"


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("killed", [False, True])
def test_a_training_that_is_taken_up_again_has_each_step_once(out: Path, name: str, killed: bool) -> None:
    logger = make_logger(name)
    with pytest.raises(Interrupted):
        first = Killed(logger) if killed else logger
        train(recipe(), out=out, threads=1, reporter=Reporters([first, Stop(Interrupted)]))
    run = Run((out / "latest").resolve())
    if name == "mlflow":
        assert mlflow_run(run)[1].info.status == ("RUNNING" if killed else "KILLED")
    resume(run, reporter=make_logger(name))
    curves = READ[name](run)
    assert len(curves["epoch/train_loss"]) == 3
    assert same(curves, expected(run))


def test_a_training_that_was_not_logged_at_first_is_logged_whole(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(recipe(), out=tmp_path, threads=1, reporter=Stop(Interrupted, 2))
    run = Run((tmp_path / "latest").resolve())
    resume(run, reporter=make_logger("tensorboard"))
    assert same(by_tensorboard(run), expected(run))


def test_an_unknown_logger_and_a_package_that_is_missing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TinydigitsError, match="unknown logger 'wandb'"):
        make_logger("wandb")
    monkeypatch.delitem(sys.modules, "tinydigits.training.loggers.mlflow", raising=False)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(TinydigitsError, match=r"needs mlflow\n  try: pip install .*\[mlflow\]"):
        make_logger("mlflow")


def test_no_package_of_a_logger_is_imported_by_a_training_without_one(tmp_path: Path) -> None:
    script = """
import atexit, sys
from tinydigits.cli import main
sys.argv = ["tinydigits", "train", "two-conv", "--data", "digits", "--set", "data.batch_size=100"]
atexit.register(lambda: print("imported:", [name for name in ("tensorboard", "mlflow") if name in sys.modules]))
main()
"""
    answer = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "imported: []" in answer.stdout, answer.stderr
