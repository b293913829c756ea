"""The process that `retrain` starts: reads the training images that it is given, shuts the doors, trains.

Run as a file with a folder that has `task.json`, `train.npz` and perhaps `recipe.toml`; it answers in `answer.json`.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any


def main(folder: Path) -> None:
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    sys.path[:] = task["path"]
    import numpy as np
    import torch

    from tinydigits import models, recipe
    from tinydigits.data import ImageSet
    from tinydigits.errors import TinydigitsError
    from tinydigits.training import pick_device
    from tinydigits.verification.retrain.guard import Guard

    with np.load(folder / "train.npz", allow_pickle=False) as kept:
        images = ImageSet(task["source"], "train", kept["images"], kept["labels"], tuple(task["classes"]))
    if task["threads"]:
        torch.set_num_threads(task["threads"])
    device = str(pick_device(task["device"]))
    guard = Guard(task["hidden"])
    guard.install()
    answer: dict[str, Any] = {}
    try:
        if task["function"] is None:
            followed = recipe.load(folder / "recipe.toml")
            answer = _by_recipe(followed, images, task, device)
        else:
            answer = _by_function(models.build, images, task, folder)
    except BaseException as error:  # the user's code runs in here, and may end this process
        traceback.print_exc()
        line = next(iter(str(error).splitlines()), "")
        answer = {"error": line if isinstance(error, TinydigitsError) else f"{type(error).__name__}: {line}"}
    answer["refused"] = guard.refused
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def _by_recipe(followed: Any, images: Any, task: dict[str, Any], device: str) -> dict[str, Any]:
    from tinydigits.training import train

    run = train(followed, images=images, out=task["out"], device=device, threads=task["threads"])
    return {"run": str(run.folder)}


def _by_function(build: Any, images: Any, task: dict[str, Any], folder: Path) -> dict[str, Any]:
    import torch
    from torch import nn

    from tinydigits import models
    from tinydigits.errors import foreign_code
    from tinydigits.machine import peak_memory_bytes
    from tinydigits.text import source_alias
    from tinydigits.verification.retrain.budget import BudgetSpent, TrainingData
    from tinydigits.verification.retrain.plan import find_function

    torch.manual_seed(task["seed"])
    model = build(task["model"], task["options"])
    data = TrainingData(images, max_images=task["max_images"], seed=task["seed"])
    function = find_function(task["function"])
    started, spent, trained = time.perf_counter(), False, None
    with data.counting_what_is_shown(), foreign_code(task["function"], "when it is called"):
        try:
            trained = function(model, data)
        except BudgetSpent:
            spent = True
    seconds = time.perf_counter() - started
    kept = trained if isinstance(trained, nn.Module) else model
    card = models.WeightsCard(
        model=task["model"], options=task["options"], source=source_alias(images.name), classes=list(images.classes),
        mean=0.1307, std=0.3081, data_sha256=images.sha256,
    )  # fmt: skip
    (folder / "weights.safetensors").write_bytes(models.weights_bytes(kept.cpu(), card))
    return {
        "images_seen": data.images_seen, "seconds": seconds, "spent": spent,
        "peak_memory_bytes": peak_memory_bytes(), "threads": torch.get_num_threads(),
    }  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
