"""One training in several processes, started by torchrun: each takes its share of every batch.

Shapes: B images a batch, C channels, R processes.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from tinydigits.errors import DataWarning, TinydigitsError
from tinydigits.evaluate import Evaluation

__all__ = ["World", "batch_norms", "is_first_process", "local_device"]


class World:
    """The processes of a training, seen from one of them; a plain process is alone, and then nothing here does work.

    >>> world = World(torch.device("cpu"))
    >>> world.rank, world.size, world.backend
    (0, 1, None)
    >>> world.share(100)
    slice(0, 100, None)

    Every process calls the same methods in the same order: each waits for the others. `backend` is gloo on the CPU,
    nccl on CUDA. Words (rank, world size) are those of torch.distributed.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank, self.size = _number("RANK", 0), _number("WORLD_SIZE", 1)
        self.backend = None if self.size == 1 else "nccl" if device.type == "cuda" else "gloo"
        if self.backend is not None and not dist.is_initialized():  # several trainings may follow in one process
            # What is on the CPU goes by gloo on either device, so a question to all waits for no GPU.
            dist.init_process_group("cpu:gloo,cuda:nccl" if self.backend == "nccl" else "gloo")
            atexit.register(dist.destroy_process_group)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    @property
    def launcher(self) -> str:
        """What a command line of tinydigits begins with, to have as many processes on each machine."""
        each = _number("LOCAL_WORLD_SIZE", 1)
        return "tinydigits" if self.size == 1 else f"torchrun --nproc-per-node {each} -m tinydigits"

    def share(self, total: int) -> slice:
        """Which of `total` things are this process's: shares differ by one at most, and together they are all."""
        return slice(total * self.rank // self.size, total * (self.rank + 1) // self.size)

    def spread(self, model: nn.Module, batch_norm: Literal["synchronised", "local"]) -> nn.Module:
        """The model whose backward pass leaves the mean gradient of all processes; alone, the model itself."""
        if self.size == 1:
            return model
        if batch_norm == "synchronised":
            for norm in batch_norms(model):
                norm.forward = partial(_normalise_together, self, norm, norm.forward)  # type: ignore[method-assign]
        # The graph is the same at each step, so torch learns at the first which parameters have no part in it.
        # Statistics are kept equal here, see above and below, so the first process's need not be sent around.
        ids = [self.device] if self.device.type == "cuda" else None
        with warnings.catch_warnings():  # torch 2.13 has another name for broadcast_buffers, earlier ones only this
            warnings.simplefilter("ignore", FutureWarning)
            return DistributedDataParallel(model, device_ids=ids, broadcast_buffers=False, static_graph=True)

    def average_statistics(self, model: nn.Module) -> None:
        """Give every process the mean of the running statistics, where each has normalised by its own images."""
        buffers = [buffer for norm in batch_norms(model) for buffer in (norm.running_mean, norm.running_var)]
        tracked = [buffer for buffer in buffers if buffer is not None]
        if self.size == 1 or not tracked:
            return
        means = self.sum(torch.cat(tracked)) / self.size
        for buffer, mean in zip(tracked, means.split([len(buffer) for buffer in tracked]), strict=True):
            buffer.copy_(mean)

    def sum(self, values: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        """The sum over the processes, each value times its weight; alone, the values as they are."""
        if self.size == 1:
            return values
        total = values.clone() if weights is None else values * values.new_tensor(weights)
        dist.all_reduce(total)
        return total

    def highest(self, value: int) -> int:
        """The highest of the processes' values: what one wants to do, all do at the same step."""
        if self.size == 1:
            return value
        highest = torch.tensor(value)
        dist.all_reduce(highest, dist.ReduceOp.MAX)
        return int(highest)

    def gather(self, thing: Any) -> list[Any]:
        """Every process's thing, by rank."""
        if self.size == 1:
            return [thing]
        things: list[Any] = [None] * self.size
        dist.all_gather_object(things, thing)
        return things

    def join_evaluations(self, own: Evaluation, labels_N: np.ndarray) -> Evaluation:
        """The evaluation of all images from those of the processes' shares: counts are added, nothing is asked twice.

        `labels_N` are those of all images.
        """
        parts: list[Evaluation] = self.gather(own)
        if len(parts) == 1:
            return own
        return Evaluation.of(
            labels_N,
            np.concatenate([part.predicted_N for part in parts]),
            np.concatenate([part.probability_N for part in parts]),
            loss=sum(part.loss * part.seen for part in parts) / len(labels_N),
            num_classes=len(own.confusion_KK),
        )

    @contextlib.contextmanager
    def one_first(self) -> Iterator[None]:
        """A block that one process of each machine goes through before the others, as a download for all of them.

        The data are the same in each, and the first alone warns of them.
        """
        first = _number("LOCAL_RANK", 0) == 0
        if self.size > 1 and not first:
            self.highest(0)
        try:
            with warnings.catch_warnings():
                if not self.is_first:
                    warnings.simplefilter("ignore", DataWarning)
                yield
        finally:
            if self.size > 1 and first:
                self.highest(0)

    @contextlib.contextmanager
    def raising_when_one_dies(self, where: str, hint: str) -> Iterator[None]:
        """A block in which another process's death becomes a TinydigitsError."""
        try:
            yield
        except RuntimeError as error:
            # gloo's errors have no class of their own; its messages begin with the place in its source.
            if self.size == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
                raise
            problem = f"process {self.rank} of {self.size} lost another one, so the training ends; checkpoint kept"
            raise TinydigitsError(where, problem, hint=hint) from error


def is_first_process() -> bool:
    """Whether this is the process that writes and speaks: the first of torchrun's, or a plain one.

    >>> is_first_process()
    True
    """
    return _number("RANK", 0) == 0


def local_device(device: torch.device) -> torch.device:
    """The CUDA device that is this process's own, where torchrun started several on a machine."""
    if device.type != "cuda" or _number("WORLD_SIZE", 1) == 1:
        return device
    return torch.device("cuda", _number("LOCAL_RANK", 0))


@functools.cache  # read before any model is built: code that is trained cannot give its process another place
def _number(name: str, alone: int) -> int:
    """What torchrun tells a process about its place; others set such variables too, so torchrun's own comes first."""
    return int(os.environ.get(name, alone)) if "TORCHELASTIC_RUN_ID" in os.environ else alone


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """The layers of a model that normalise by their batch.

    >>> len(batch_norms(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))))
    1
    """
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def _normalise_together(world: World, norm: _BatchNorm, forward: Any, features: Tensor) -> Tensor:
    """BatchNorm over the images of all processes, on any device; torch's SyncBatchNorm is for GPUs only."""
    if not norm.training:
        return forward(features)
    with torch.no_grad():
        mean_C, variance_C, count = _moments(world, features)
        if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
            assert norm.num_batches_tracked is not None
            norm.num_batches_tracked += 1
            share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            norm.running_mean.lerp_(mean_C.to(norm.running_mean), share)
            norm.running_var.lerp_((variance_C * (count / (count - 1))).to(norm.running_var), share)
    return _Normalise.apply(world, features, norm.weight, norm.bias, norm.eps, mean_C, variance_C, count)


def _moments(world: World, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of each channel over the images of all processes, and how many values those are of.

    In double precision, as torch's BatchNorm adds up on the CPU. Those of the shares are joined as by Chan, Golub and
    LeVeque, 1979, "Updating formulae and a pairwise algorithm for computing sample variances": squares of large numbers
    are never subtracted.
    """
    variance_C, mean_C = torch.var_mean(features.double(), [0, *range(2, features.dim())], correction=0)
    count = mean_C.new_tensor([features.numel() // features.shape[1]])
    rows = mean_C.new_zeros(world.size, 2 * len(mean_C) + 1)
    rows[world.rank] = torch.cat([mean_C, variance_C, count])
    means_RC, variances_RC, counts_R1 = world.sum(rows).split([len(mean_C), len(mean_C), 1], dim=1)
    count = counts_R1.sum()
    mean_C = (counts_R1 * means_RC).sum(0) / count
    return mean_C, (counts_R1 * (variances_RC + (means_RC - mean_C) ** 2)).sum(0) / count, count


class _Normalise(torch.autograd.Function):
    """torch's own normalisation by given statistics, whose gradient goes through the statistics of all processes.

    Each process gives back its part of the gradients of weight and bias, of which DistributedDataParallel takes the
    mean as of all others.
    """

    @staticmethod
    def forward(
        ctx: Any, world: World, features: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float,
        mean_C: Tensor, variance_C: Tensor, count: Tensor,
    ) -> Tensor:  # fmt: skip
        kind = _at_least_single(features)
        ctx.world, ctx.eps, ctx.bias_kind = world, eps, None if bias is None else bias.dtype
        ctx.save_for_backward(features, weight, mean_C, variance_C, count)
        return F.batch_norm(features, mean_C.to(kind), variance_C.to(kind), weight, bias, eps=eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        features, weight, mean_C, variance_C, count = ctx.saved_tensors
        kind, dims = _at_least_single(features), [0, *range(2, features.dim())]
        shape = [1, -1, *[1] * (features.dim() - 2)]
        scale_C = (variance_C + ctx.eps).rsqrt()
        gradient = gradients[0].to(kind)
        normal = (features.to(kind) - mean_C.to(kind).view(shape)) * scale_C.to(kind).view(shape)
        own = torch.stack([gradient.sum(dims, dtype=torch.double), (gradient * normal).sum(dims, dtype=torch.double)])
        means = (ctx.world.sum(own) / count).to(kind)
        gradient = gradient - means[0].view(shape) - normal * means[1].view(shape)
        gradient = gradient * (scale_C if weight is None else scale_C * weight).to(kind).view(shape)
        of_weight = None if weight is None else own[1].to(weight)
        of_bias = None if ctx.bias_kind is None else own[0].to(ctx.bias_kind)
        return None, gradient.to(features.dtype), of_weight, of_bias, None, None, None, None


def _at_least_single(values: Tensor) -> torch.dtype:
    return torch.promote_types(values.dtype, torch.float32)
