"""TensorBoard's event files, in the run's folder `tensorboard`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from torch.utils.tensorboard import SummaryWriter

from tinydigits.errors import TinydigitsError
from tinydigits.run import Record, Run
from tinydigits.training.loggers._logger import Logger, Point

__all__ = ["LOGGER"]


class TensorBoard(Logger):
    """A run that is taken up again has its event files written anew, from the tables: half-written ones are no loss."""

    def open(self, run: Run, record: Record) -> Mapping[str, int]:
        folder = run.folder / "tensorboard"
        try:
            for file in folder.glob("events.out.tfevents.*"):
                file.unlink()
            # A viewer that is open forgets what it had read of the files before.
            self._writer = SummaryWriter(str(folder), purge_step=0)
        except OSError as error:
            raise TinydigitsError(str(folder), f"cannot write: {error.strerror or error}") from error
        self._writer.add_text("recipe", f"```json\n{json.dumps(record.recipe, indent=2)}\n```", 0)
        return {}

    def write(self, points: Sequence[Point]) -> None:
        for point in points:
            self._writer.add_scalar(point.name, point.value, point.step)
        self._writer.flush()

    def close(self, record: Record) -> None:
        if record.result is not None:
            for name, value in (("accuracy", record.result.accuracy), ("loss", record.result.loss)):
                self._writer.add_scalar(f"result/{record.result.split}_{name}", value, record.images_seen)
        self._writer.close()


LOGGER = TensorBoard
