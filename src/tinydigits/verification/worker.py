"""A stranger's model in a process of its own: built, called and asked for its graphs there, never here.

What comes back is data, and is read as a stranger's file is. What the model computes is judged by its graph; the model
itself is asked again, for images in an order and in batches that it cannot know, and must answer as its graph does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from tinydigits.checks import Subject
from tinydigits.errors import EndsProcess, TinydigitsError
from tinydigits.messages import Message
from tinydigits.trace import ExportedModel, register
from tinydigits.verification.graphs import read_graphs
from tinydigits.verification.process import NO_MESSAGE, SandboxedProcess, in_full, short

__all__ = ["Worker"]


class Worker:
    """A model in a process; both end with this object.

    `spec` and `options` are those of `models.build`, `state` the weights, read from what `weights` names, `seed` that
    of fresh ones. `code` names what else it may read, and `seconds` bounds its processor time. Whatever is asked raises
    EndsProcess where the process ends or does not answer, and what the model's code raised.
    """

    def __init__(
        self,
        spec: str,
        options: Mapping[str, Any],
        state: Mapping[str, Tensor] | None = None,
        *,
        weights: str = "",
        threads: int | None = None,
        seed: int = 0,
        code: Sequence[str] = (),
        seconds: int = 3_600,
    ) -> None:
        self.spec, self.options, self.weights, self.seed = in_full(spec), dict(options), weights, seed
        self.state = None if state is None else save({name: t.contiguous().clone() for name, t in state.items()})
        self._is_built = False
        self.process = SandboxedProcess(f"model {spec}", [self.spec, *code], threads=threads, seconds=seconds)

    def judged(self, subject: Subject) -> Subject:
        """The subject whose model is the graph of this one; where it has none, the model itself, asked from here."""
        self.build()
        asked: dict[str, Any] = {"input_shape": list(subject.input_shape), "any_batch": True}
        try:
            try:
                model, reasons = self._graphs(asked)
            except TinydigitsError:  # some conditions on the size of a batch are written as code, which is not read
                asked["any_batch"] = False
                model, reasons = self._graphs(asked)
        except EndsProcess:
            raise
        except TinydigitsError as error:
            reason = f"it has no graph to read: {error.problem or error}"
            lacks = dict.fromkeys(("train", "structure", "state", "devices"), reason)
            return replace(subject, model=self._remote(), lacks=lacks, spec=None)
        lacks = {"gradients": reasons["gradients"]} if "gradients" in reasons else {}
        if not model.has_train_mode:
            lacks["train"] = f"it has no graph of train mode: {reasons.get('train')}"

        def rebuild() -> nn.Module:
            return read_graphs(self.ask("rebuilt", "built anew", seed=self.seed + 1, **asked)[1].get("eval", b""))

        own: dict[str, Any] = {"rebuild": rebuild, "own_answers": self.answers}
        return replace(subject, model=model, lacks=lacks, spec=None, **own)

    def _graphs(self, asked: Mapping[str, Any]) -> tuple[ExportedModel, dict[str, str]]:
        """Its graphs as one model, and why there are not more of them."""
        fields, parts = self.ask("graphs", "called", **asked)
        told = fields.get("reasons")
        reasons = {mode: short(reason) for mode, reason in told.items()} if isinstance(told, dict) else {}
        if "eval" not in parts:
            raise TinydigitsError("its graph", reasons.get("eval", "there is none"))
        try:
            return read_graphs(parts["eval"], parts.get("train", b"")), reasons
        except TinydigitsError as error:
            if "train" not in parts or asked["any_batch"]:
                raise
            return read_graphs(parts["eval"]), {"train": error.problem or str(error)}

    def _remote(self) -> _Remote:
        _, parts = self.ask("parameters", "asked for its parameters")
        try:
            return _Remote(self, load(parts["parameters"]))
        except (KeyError, SafetensorError, ValueError) as error:
            raise self.process.ended("asked for its parameters", NO_MESSAGE) from error

    def answers(self, images: Tensor, seed: int = 0) -> Tensor:
        """What the model itself answers in eval mode, on the CPU."""
        _, parts = self.ask("answers", "called", {"images": save({"images": images.cpu().contiguous()})}, seed=seed)
        try:
            answers = load(parts["answers"])["answers"]
        except (KeyError, SafetensorError, ValueError) as error:
            raise self.process.ended("called", "an answer that is none") from error
        # Half precision, whole numbers and truth values have no arithmetic of their own in what compares them.
        return answers if answers.dtype in (torch.float32, torch.float64) else answers.float()

    def build(self) -> None:
        """Build it, if that was not done yet."""
        if not self._is_built:
            fields: dict[str, Any] = {
                "spec": self.spec,
                "options": self.options,
                "weights": self.weights,
                "seed": self.seed,
            }
            self.process.ask("build", "built", {} if self.state is None else {"state": self.state}, **fields)
            self._is_built = True

    def ask(self, what: str, when: str, parts: Mapping[str, bytes] | None = None, **fields: Any) -> Message:
        """What the process replies of the model, which is built first; see `SandboxedProcess.ask`."""
        self.build()
        return self.process.ask(what, when, parts, **fields)


class _Remote(nn.Module):
    """A model that has no graph: asked in its worker. It holds the parameters that the model lists."""

    def __init__(self, worker: Worker, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.worker = worker
        for name, tensor in parameters.items():
            register(self, name, nn.Parameter(tensor, requires_grad=tensor.is_floating_point()))

    def forward(self, images: Tensor) -> Tensor:
        return self.worker.answers(images).to(images.device)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Remote:
        held = {name: parameter.detach().clone() for name, parameter in self.named_parameters()}
        return _Remote(self.worker, held).train(self.training)
