"""MLflow's runs, in the file `mlflow.db` beside the runs' folders: no server, and nothing is sent."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from tinydigits.environment import telemetry_off
from tinydigits.errors import TinydigitsError
from tinydigits.run import Record, Run, leaves
from tinydigits.training.loggers._logger import Logger, Point

with telemetry_off():
    import sqlalchemy
    from mlflow import MlflowClient
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

__all__ = ["LOGGER"]

_FOLDER = "tinydigits.run"
_STATES = {"finished": "FINISHED", "interrupted": "KILLED", "diverged": "FAILED"}
_AT_ONCE = 1_000  # MLflow's limit for one batch of metrics
_LONGEST_VALUE = 6_000  # its limit for a parameter


class MLflow(Logger):
    """The experiment is named after the recipe; the MLflow run is found again by its tag `tinydigits.run`."""

    def open(self, run: Run, record: Record) -> Mapping[str, int]:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        out = run.folder.parent.resolve()
        # Named here, so that no MLFLOW_TRACKING_URI of the environment sends anything to a server.
        place = f"sqlite:///{(out / 'mlflow.db').as_posix()}"
        try:
            self._client = MlflowClient(tracking_uri=place, registry_uri=place)
            experiment = self._experiment(str(record.recipe["name"]), out)
            runs = self._client.search_runs([experiment], f"tags.`{_FOLDER}` = '{run.name}'")
            if runs:
                self._id = runs[0].info.run_id
                self._client.update_run(self._id, status="RUNNING")
                return {name: self._last_step(name) for name in runs[0].data.metrics}
            tags = {_FOLDER: run.name}
            self._id = self._client.create_run(experiment, run_name=run.name, tags=tags).info.run_id
            for name, value in leaves(record.recipe):
                self._client.log_param(self._id, name, str(value)[:_LONGEST_VALUE])
            self._client.log_param(self._id, "num_parameters", record.num_parameters)
        except (MlflowException, sqlalchemy.exc.SQLAlchemyError) as error:
            raise TinydigitsError(place, f"MLflow cannot write: {str(error).splitlines()[0]}") from error
        return {}

    def _experiment(self, name: str, out: Path) -> str:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(self._client.create_experiment(name, artifact_location=(out / "mlflow").as_uri()))
            except MlflowException:  # another training was first
                experiment = self._client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        return str(experiment.experiment_id)

    def _last_step(self, name: str) -> int:
        return max(metric.step for metric in self._client.get_metric_history(self._id, name))

    def write(self, points: Sequence[Point]) -> None:
        from time import time

        now = int(time() * 1000)
        metrics = [Metric(point.name, point.value, now, point.step) for point in points]
        for start in range(0, len(metrics), _AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[start : start + _AT_ONCE])

    def close(self, record: Record) -> None:
        if record.result is not None:
            split, step = record.result.split, record.images_seen
            self.write([
                Point(f"result/{split}_accuracy", step, record.result.accuracy),
                Point(f"result/{split}_loss", step, record.result.loss),
            ])  # fmt: skip
        self._client.set_terminated(self._id, _STATES.get(record.status, "KILLED"))


LOGGER = MLflow
