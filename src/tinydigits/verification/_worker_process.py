"""The process in which a stranger's model is built and called; the judge's side of it is `process.py`.

Run as a file, with Python's path as JSON. The first message says what it may read; it shuts itself in before anything
else is imported, tries what it should not be able to do, and tells. What is printed from then on goes where errors go.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_MEMORY_BYTES, _FILE_BYTES = 4_000_000_000, 1_000_000_000


def main() -> None:
    sys.path[:] = json.loads(sys.argv[1])
    from tinydigits import messages, sandbox

    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    places, _ = messages.receive(requests) or ({}, {})
    sandbox.shut_in(places["readable"], places["listable"], places["own"])
    sandbox.limit_resources(_MEMORY_BYTES, places["seconds"], _FILE_BYTES)
    messages.send(replies, {"refused": sandbox.try_forbidden(places["foreign"])})

    import threading
    import warnings

    warnings.simplefilter("ignore")
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    token = ""

    def ask_judge(fields: dict[str, Any], parts: dict[str, bytes]) -> messages.Message:
        messages.send(replies, fields | {"token": token, "asks": True}, parts)
        return messages.receive(requests) or sys.exit()

    hosted = _Hosted(places["threads"], ask_judge)
    while (message := messages.receive(requests)) is not None:
        fields, parts = message
        token = fields["token"]
        told, found = _answered(getattr(hosted, fields["do"]), fields, parts)
        messages.send(replies, told | {"token": token}, found)


def _end_with(judge: int) -> None:
    """A judge that was killed leaves no worker behind that is busy for ever."""
    while os.getppid() == judge:
        time.sleep(1)
    os._exit(1)


def _answered(
    act: Callable[..., Any], fields: dict[str, Any], parts: dict[str, bytes]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    from tinydigits.errors import EndsProcess, TinydigitsError, first_line, foreign_code

    try:
        with foreign_code(fields["where"], f"when it is {fields['when']}"):
            told: tuple[dict[str, Any], dict[str, bytes]] = act(fields, parts)
            return told
    except TinydigitsError as error:
        told_error = {name: value and str(value) for name, value in vars(error).items()}
        return {"error": told_error | {"ends": isinstance(error, EndsProcess)}}, {}
    except BaseException as error:  # the model's own code runs in here
        return {"raised": {"name": type(error).__name__, "line": first_line(error)}}, {}


class _Hosted:
    """A model and what the judge may ask of it; each method takes a message's fields and parts, and gives a reply's."""

    def __init__(self, threads: int | None, ask_judge: Callable[..., Any]) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.threads, self.ask_judge = threads, ask_judge
        self.build_again: Callable[[int], Any] = lambda seed: None
        self.model: Any = None
        self.has_begun = False

    def build(self, fields: dict[str, Any], parts: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Build it, with the weights that came along."""
        from safetensors.torch import load

        from tinydigits import models

        def build_again(seed: int) -> Any:
            _seed(seed)
            return models.build(fields["spec"], fields["options"])

        self.build_again, self.model = build_again, build_again(fields["seed"])
        if "state" in parts:
            models.fit_weights(self.model, load(parts["state"]), fields["weights"])
        return {}, {}

    def graphs(self, fields: dict[str, Any], parts: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Its graphs of both modes; where it has none, why."""
        from tinydigits.errors import EndsProcess, TinydigitsError, first_line
        from tinydigits.trace import graph_bytes, materialised, own_backward_passes

        shape = tuple(fields["input_shape"])
        self.model = materialised(self.model, shape)
        reasons, found = {}, {}
        for name, train in (("eval", False), ("train", True)):
            try:
                found[name] = graph_bytes(self.model, shape, train=train, any_batch=fields["any_batch"])
            except EndsProcess:
                raise
            except TinydigitsError as error:
                reasons[name] = str(error.problem)
            except Exception as error:  # the model's own code, where it is copied or set to a mode
                reasons[name] = f"it raises {type(error).__name__} when it is exported: {first_line(error)}"
        with contextlib.suppress(Exception):  # the same
            if "train" in found and (names := own_backward_passes(copy.deepcopy(self.model), shape)):
                by_hand = f"the backward pass of {', '.join(names)} is written by hand, which no graph holds"
                reasons["gradients"] = by_hand
        return {"reasons": reasons}, found

    def parameters(self, fields: dict[str, Any], parts: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The parameters that it lists."""
        from safetensors.torch import save

        return {}, {"parameters": save({name: p.detach().clone() for name, p in self.model.named_parameters()})}

    def rebuilt(self, fields: dict[str, Any], parts: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, bytes]]:
        """The graph of one that is built anew, from other random numbers."""
        from tinydigits.trace import graph_bytes, materialised

        shape = tuple(fields["input_shape"])
        model = materialised(self.build_again(fields["seed"]), shape)
        return {}, {"eval": graph_bytes(model, shape, any_batch=fields["any_batch"])}

    def answers(self, fields: dict[str, Any], parts: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, bytes]]:
        """What it answers in eval mode, from random numbers of a seed."""
        import torch
        from safetensors.torch import load, save

        from tinydigits.evaluate import logits_of

        self.model.eval()
        _seed(fields["seed"])
        with torch.no_grad():
            answers = logits_of(self.model, load(parts["images"])["images"])
        return {}, {"answers": save({"answers": answers.contiguous()})}

    def train(self, fields: dict[str, Any], parts: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Train it by a function, on images that the judge hands out; its weights, and what was counted here."""
        import torch
        from torch import nn

        from tinydigits.errors import foreign_code
        from tinydigits.machine import peak_memory_bytes
        from tinydigits.models import find_function
        from tinydigits.verification.retrain.budget import BackwardCount, BudgetSpent, TrainingData

        data = TrainingData(self._passes, **fields["data"])
        function, count = find_function(fields["function"]), BackwardCount(self.model, (1, 28, 28))
        _seed(fields["seed"])
        started, is_spent, trained = time.perf_counter(), False, None
        with _cut_by_signal(BudgetSpent), count.counting(), foreign_code(fields["function"], "when it is called"):
            try:
                trained = function(self.model, data)
            except BudgetSpent:
                is_spent = True
        seconds = time.perf_counter() - started
        kept = trained if isinstance(trained, nn.Module) else self.model
        told = {"seconds": seconds, "spent": is_spent, "learned_from": count.images, "threads": torch.get_num_threads()}
        return told | {"peak_memory_bytes": peak_memory_bytes()}, {"state": _state_bytes(kept)}

    def _passes(self, number: int, batch_size: int, shuffle: bool) -> Iterator[Any]:
        from safetensors.torch import load

        from tinydigits.verification.retrain.budget import BudgetSpent

        while True:
            # The first one shows what the training begins with.
            begins = {} if self.has_begun else {"state": _state_bytes(self.model)}
            self.has_begun = True
            fields, parts = self.ask_judge({"pass": number, "batch_size": batch_size, "shuffle": shuffle}, begins)
            if fields.get("is_spent"):
                raise BudgetSpent
            if "batch" not in parts:
                return
            batch = load(parts["batch"])
            yield batch["images"], batch["labels"]

    def train_by_recipe(
        self, fields: dict[str, Any], parts: dict[str, bytes]
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Train by a recipe, on images that came along; the files of its run."""
        from safetensors.numpy import load

        from tinydigits import recipe
        from tinydigits.data import ImageSet
        from tinydigits.training import train

        arrays = load(parts["images"])
        images = ImageSet(**fields["set"], images_NHW=arrays["images"], labels_N=arrays["labels"])
        Path("recipe.toml").write_bytes(parts["recipe"])
        followed = recipe.load("recipe.toml")
        os.chdir(fields["folder"])  # where the recipe's paths begin
        with tempfile.TemporaryDirectory() as out:
            run = train(followed, images=images, out=out, device=fields["device"], threads=self.threads)
            files = {path.name: path.read_bytes() for path in run.folder.iterdir() if path.is_file()}
        return {}, files


@contextlib.contextmanager
def _cut_by_signal(error: type[BaseException]) -> Iterator[None]:
    """Within the block, the judge's signal raises an error in what runs."""

    def cut(number: int, frame: object) -> None:
        raise error

    if not hasattr(signal, "SIGUSR1"):  # Windows
        yield
        return
    signal.signal(signal.SIGUSR1, cut)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def _state_bytes(model: Any) -> bytes:
    from safetensors.torch import save

    return save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()})


def _seed(number: int) -> None:
    import random

    import numpy as np
    import torch

    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 (a model may use either)
    torch.manual_seed(number)


if __name__ == "__main__":
    main()
