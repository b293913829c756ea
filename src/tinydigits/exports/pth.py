"""A .pth in the reference systems' convention: weights, optimizer, history and validation accuracy in one file."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tinydigits import models
from tinydigits.archive import require_honest
from tinydigits.errors import TinydigitsError
from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Trained, answer_of_weights

__all__ = ["FORMAT", "write"]


def write(trained: Trained, folder: Path) -> Path:
    """Write `<data>_model_YYYYMMDD_HHMMSS_acc99.40.pth`; loadable with `torch.load(path, weights_only=True)`.

    The date is the run's; `acc` is the accuracy in percent on `accuracy_split`: the validation images where the run
    held some out, else its training images. `model_state_dict` has the weights that the run keeps (averaged, if it
    averages), `optimizer_state_dict` the optimizer's state at the end, `history` a dict an epoch, and
    `validation_accuracy` a share or None.
    """
    run = trained.run
    assert run is not None  # see NEEDS
    record = run.record
    assert record.result is not None  # a finished run has one
    checkpoint = _checkpoint(run.file("checkpoint.pt"))
    held_out = record.result.split == "validation"
    content = {
        "model_state_dict": load_file(run.file("weights.safetensors")),
        "optimizer_state_dict": checkpoint["optimizer"],
        "history": checkpoint["history"],
        "validation_accuracy": record.result.accuracy if held_out else None,
        "accuracy": record.result.accuracy,
        "accuracy_split": record.result.split,
        "model": record.recipe["model"],
        "source": trained.card.source,
        "mean": trained.card.mean,
        "std": trained.card.std,
        models.CARD_KEY: trained.card.model_dump_json(),  # for `tinydigits verify FILE.pth`
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    moment = datetime.fromisoformat(record.started_at).strftime("%Y%m%d_%H%M%S")
    name = f"{Path(record.source).name}_model_{moment}_acc{100 * record.result.accuracy:.2f}.pth"
    return trained.write(folder / name, buffer.getvalue())


def _checkpoint(path: Path) -> dict[str, Any]:
    require_honest(path, path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return {"optimizer": content["optimizer"], "history": content["history"]}
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        raise TinydigitsError(path, f"damaged checkpoint: {type(error).__name__}") from error


# The checkpoint has the optimizer's state and the history.
FORMAT = Format(write, answer_of_weights, builds=True, needs=("checkpoint.pt",))
