"""The process in which a stranger's model is built and called; the judge's side of it is `worker.py`.

Run as a file, with Python's path as JSON. The first message says what it may read; it shuts itself in before anything
else is imported, tries what it should not be able to do, and tells. What is printed from then on goes where errors go.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

_MEMORY_BYTES, _SECONDS, _FILE_BYTES = 4_000_000_000, 3_600, 1_000_000_000


def main() -> None:
    sys.path[:] = json.loads(sys.argv[1])
    from tinydigits import messages, sandbox

    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    places, _ = messages.receive(requests) or ({}, {})
    sandbox.shut_in(places["readable"], places["listable"], places["own"])
    sandbox.limit_resources(_MEMORY_BYTES, _SECONDS, _FILE_BYTES)
    messages.send(replies, {"refused": sandbox.try_forbidden(places["foreign"])})

    import threading
    import warnings

    warnings.simplefilter("ignore")
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    hosted = _Hosted(places["threads"])
    while (message := messages.receive(requests)) is not None:
        fields, parts = message
        told, found = _answered(getattr(hosted, fields["do"]), fields, parts)
        messages.send(replies, told | {"token": fields["token"]}, found)


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

    def __init__(self, threads: int | None) -> None:
        import torch

        if threads:
            torch.set_num_threads(threads)
        self.build_again: Callable[[int], Any] = lambda seed: None
        self.model: Any = None

    def build(self, fields: dict[str, Any], parts: dict[str, bytes]) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Build it, with the weights that came along."""
        from safetensors.torch import load

        from tinydigits import models

        def build_again(seed: int) -> Any:
            _seed(seed)
            return models.build(fields["spec"], fields["options"])

        self.build_again, self.model = build_again, build_again(0)
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
        model = materialised(self.build_again(1), shape)
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


def _seed(number: int) -> None:
    import random

    import numpy as np
    import torch

    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 (a model may use either)
    torch.manual_seed(number)


if __name__ == "__main__":
    main()
