"""Running a traced graph operation by operation, with a value or an operation changed on the way.

So it is known that the graph is the model (it gives the model's own answers), which layers act on the answers, and how
far gradients reach.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from tinydigits.errors import TinydigitsError
from tinydigits.trace.exported import widened
from tinydigits.trace.graph import BATCH_SIZE, Graph, example_images, is_in_place, op_name, quiet
from tinydigits.trace.inventory import Contradiction, duplicate, fingerprint, first_line, set_mode

__all__ = ["acts", "confirm", "moved_values", "random_images", "replay"]

_TOLERANCE = 1e-3
# A layer acts when changing all of its output by half changes the answers by more than this share.
_EFFECT = 1e-4
_NUM_TRIES = 3

Change = Callable[[Any], Any]


def replay(
    graph: Graph,
    image: Tensor,
    *,
    values: Mapping[Node, Any] | None = None,
    operation: Callable[[Node], Callable[..., Any]] | None = None,
    change: Mapping[Node, Change] | None = None,
    until: Node | None = None,
) -> dict[Node, Any]:
    """Every value of the graph for one batch of two images, in the image's own precision.

    `values` stand in for weights, `operation` for the operation of a node, `change` for what a node gives. Without them
    it is what the model computes.
    """
    values, change = values or {}, change or {}
    wide = image.dtype == torch.float64
    results: dict[Node, Any] = {graph.image: image}
    for node, value in graph.values.items():
        value = values.get(node, value)
        if isinstance(value, Tensor):  # a copy: running statistics are written to
            value = value.detach().to(widened(value.dtype) if wide else value.dtype, copy=True)
        results[node] = value
    with _default_dtype(image.dtype):
        for node in graph.operations:
            if op_name(node) == "_assert_tensor_metadata":
                continue
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda source: results[source])
            if wide:
                args, kwargs = torch.utils._pytree.tree_map(widened, (list(args), dict(kwargs)))
            target = operation(node) if operation is not None else node.target
            assert callable(target)
            result = target(*args, **kwargs)
            if node in change:
                result = change[node](result)
            results[node] = result
            if node is until:
                break
    return results


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype if dtype.is_floating_point else before)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def random_images(model: nn.Module, input_shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """A batch of two noisy images that nobody can know who does not know the weights."""
    generator = torch.Generator().manual_seed(fingerprint(model) ^ seed)
    example = example_images(model, input_shape)
    return torch.randn(example.shape, generator=generator).to(example.dtype)


def confirm(model: nn.Module, graph: Graph, input_shape: tuple[int, ...]) -> None:
    """Raise Contradiction unless the graph gives the answers of the model itself, from the same random numbers.

    A forward that acts otherwise while it is traced, or a `__call__` that does not call it, shows here.
    """
    where = f"model {type(model).__name__}"
    copied = set_mode(duplicate(model).to("cpu"), graph.train)
    image = random_images(copied, input_shape)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), quiet():
        torch.manual_seed(0)
        try:
            expected = copied(image.clone())
        except Exception as error:
            raise TinydigitsError(where, f"fails on noise: {first_line(error)}") from error
        torch.manual_seed(0)
        got = replay(graph, image)[graph.output]
    first = next((leaf for leaf in torch.utils._pytree.tree_leaves(expected) if isinstance(leaf, Tensor)), None)
    if first is None or first.shape != got.shape or not _close(first, got):
        mode = "train" if graph.train else "eval"
        raise Contradiction(where, f"its graph, traced in {mode} mode, gives other answers than the model itself")


def _close(expected: Tensor, got: Tensor) -> bool:
    if not expected.is_floating_point():
        return torch.equal(expected, got)
    scale = float(expected.nan_to_num(0.0, 0.0, 0.0).abs().max())
    return torch.allclose(expected, got, rtol=_TOLERANCE, atol=_TOLERANCE * scale, equal_nan=True)


def acts(graph: Graph, node: Node, input_shape: tuple[int, ...], *, moved: bool) -> bool:
    """Whether a node's value depends on the image and the answers depend on that value.

    Values that are equal are changed together, so what is added and taken away again has no effect. With `moved` the
    parameters that training would move are moved a little first: a gate that starts at zero can open, one that is a
    constant cannot.
    """
    for seed in range(_NUM_TRIES):
        try:
            effect = _effect(graph, node, input_shape, seed, torch.float64, moved=moved)
        except RuntimeError:  # some operation insists on float32
            effect = _effect(graph, node, input_shape, seed, torch.float32, moved=moved)
        if effect > _EFFECT:
            return True
    return False


def _effect(
    graph: Graph, node: Node, input_shape: tuple[int, ...], seed: int, dtype: torch.dtype, *, moved: bool
) -> float:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(BATCH_SIZE, *input_shape, generator=generator).to(dtype)
    values = moved_values(graph, generator) if moved else {}

    def run(change: Mapping[Node, Change]) -> dict[Node, Any]:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            return replay(graph, image, values=values, change=change)

    values_by_node: dict[Node, Tensor] = {}
    before = run({other: partial(_keep, values_by_node, other) for other in graph.operations})[graph.output].clone()
    value = values_by_node.get(node)
    if value is None or not _differs(value):
        return 0.0
    noise = torch.randn(value.shape, generator=generator).to(value.dtype)
    spread = value.std() if value.numel() > 1 else value.abs().mean()
    changed = value * (1 + 0.5 * noise) + 0.5 * spread * noise
    equal = [
        other
        for other, candidate in values_by_node.items()
        if candidate.shape == value.shape and torch.equal(candidate, value)
    ]
    after = run({other: partial(_put, changed, is_in_place(other)) for other in equal})[graph.output]
    scale = float((before - before.mean(0)).abs().max()) or float(before.abs().max()) or 1.0
    difference = float((after - before).abs().max()) / scale
    return math.inf if math.isnan(difference) else difference


def moved_values(graph: Graph, generator: torch.Generator) -> dict[Node, Tensor]:
    """The parameters that training would move, moved a little."""
    return {
        node: value + 0.05 * torch.randn(value.shape, generator=generator).to(value.dtype)
        for node, value in graph.values.items()
        if node in graph.parameters and value.requires_grad and value.is_floating_point()
    }


def _first(value: Any) -> Tensor | None:
    value = value[0] if isinstance(value, (tuple, list)) and value else value
    return value if isinstance(value, Tensor) and value.is_floating_point() else None


def _keep(values_by_node: dict[Node, Tensor], node: Node, result: Any) -> Any:
    first = _first(result)
    if first is not None:
        values_by_node[node] = first.clone()
    return result


def _put(changed: Tensor, in_place: bool, result: Any) -> Any:
    """Another value for a tensor, or for the first of several; what comes with it is turned round."""
    if isinstance(result, Tensor):
        return result.copy_(changed) if in_place else changed
    turned = (-other if isinstance(other, Tensor) and other.is_floating_point() else other for other in result[1:])
    return type(result)([changed, *turned])


def _differs(value: Tensor) -> bool:
    """Whether the two images of the batch give different values."""
    if value.ndim == 0 or value.shape[0] != BATCH_SIZE:
        return True  # the batch is not its first axis: not to be told
    return not torch.equal(value[0], value[1])
