"""The exported graph of a model, reduced to the operations that reach its output."""

from __future__ import annotations

import copy
import io
import logging
import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim
from torch.export.graph_signature import InputKind
from torch.fx import Node
from torch.nn.parameter import is_lazy

from tinydigits.errors import TinydigitsError
from tinydigits.trace.exported import ExportedModel, Static
from tinydigits.trace.inventory import Inventory, duplicate, first_line, inventory, set_mode

__all__ = [
    "Graph",
    "arguments",
    "example_images",
    "export_graph",
    "graph_bytes",
    "is_in_place",
    "materialised",
    "op_name",
    "own_backward_passes",
    "quiet",
    "tensor_of",
]

# A batch of one cannot go through BatchNorm in train mode once the map is 1×1.
BATCH_SIZE = 2

# Operations whose result shares memory with their first argument, so that writing into one changes the other.
_VIEWS = frozenset({
    "alias", "as_strided", "chunk", "detach", "diagonal", "expand", "expand_as", "flatten", "getitem", "movedim",
    "narrow", "permute", "reshape", "select", "slice", "split", "split_with_sizes", "squeeze", "swapaxes", "t",
    "transpose", "unbind", "unflatten", "unsqueeze", "view", "view_as",
})  # fmt: skip
_UNIFORM_AS_BEFORE = frozenset({"clone", "detach", "div", "expand", "lift_fresh_copy", "mul", "reshape", "to", "view"})


@dataclass(frozen=True)
class Graph:
    """Live operations in order, and where the weights among their inputs come from."""

    nodes: tuple[Node, ...]
    """Every operation that the output depends on, in the order of execution."""
    operations: tuple[Node, ...]
    """Those, and the ones whose result goes nowhere: they draw random numbers too."""
    inputs: dict[Node, tuple[Node, ...]]
    """What each operation depends on, in-place writes into its arguments included."""
    writes: dict[Node, tuple[Node, ...]]
    """In-place operation → the other values that it changes through shared memory."""
    image: Node
    output: Node
    train: bool
    parameters: dict[Node, str] = field(default_factory=dict)
    buffers: dict[Node, str] = field(default_factory=dict)
    constants: dict[Node, Tensor] = field(default_factory=dict)
    values: dict[Node, Any] = field(default_factory=dict)
    """What stands behind each input of the graph but the image."""


def op_name(node: Node) -> str:
    """The bare name of an operation: `aten.relu_.default` and `aten.relu.default` are both relu."""
    if node.target is operator.getitem:
        return "getitem"
    parts = str(node.target).split(".")
    return (parts[1] if len(parts) > 1 else parts[0]).rstrip("_")


def arguments(node: Node) -> dict[str, Any]:
    """An operation's arguments by the names of its schema, defaults filled in."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return {str(i): value for i, value in enumerate(node.args)} | node.kwargs
    bound = dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | node.kwargs
    return {argument.name: bound.get(argument.name, argument.default_value) for argument in schema.arguments}


def tensor_of(node: Node) -> Tensor | None:
    """The (fake) tensor that a node gives, or None for lists, numbers and nothing."""
    value = node.meta.get("val")
    return value if isinstance(value, Tensor) else None


def export_graph(model: nn.Module, input_shape: tuple[int, ...], *, train: bool = True) -> Graph:
    """Export a copy of the model in one mode and keep what reaches its first output.

    Raises TinydigitsError when the model cannot be copied, run or exported.
    """
    where = f"model {type(model).__name__}"
    if isinstance(model, ExportedModel):
        static = model.static(train=train, batch_size=BATCH_SIZE, input_shape=input_shape)
        return _live(static, where, train, inventory(model))
    copied = set_mode(duplicate(materialised(model, input_shape)).to("cpu"), train)
    example = example_images(copied, input_shape)
    with torch.random.fork_rng(devices=[]), quiet():
        try:
            program = torch.export.export(copied, (example,))
        except Exception as error:
            raise _export_error(where, error, example) from error
    static = Static(program.graph_module, program.graph_signature, program.state_dict, program.constants)
    return _live(static, where, train, inventory(copied))


def graph_bytes(
    model: nn.Module, input_shape: tuple[int, ...], *, train: bool = False, any_batch: bool = True
) -> bytes:
    """torch.export's archive of a copy of the model in one mode.

    It takes batches of any size where `any_batch` asks for it and the model exports so, else batches of two.

    >>> graph_bytes(nn.Flatten(), (1, 8, 8))[:2]
    b'PK'

    Raises TinydigitsError when the model cannot be exported. A model that cannot be copied is exported itself.
    """
    where, buffer = f"model {type(model).__name__}", io.BytesIO()
    try:
        copied = copy.deepcopy(model)
    except Exception:  # a user's module may hold anything
        copied = model
    copied.train(train)
    example = example_images(copied, input_shape)
    with torch.random.fork_rng(devices=[]), quiet():
        try:
            # The first attempt leaves a mark in the images that it is given.
            program = _of_any_batch(copied, example.clone()) if any_batch else None
            program = program or torch.export.export(copied, (example,))
            for node in program.graph.nodes:
                if getattr(node.target, "namespace", "aten") not in ("aten", "higher_order", "prims"):
                    raise TinydigitsError(where, f"goes through {node.target}, whose inside is code and no graph")
            torch.export.save(program, buffer)
        except TinydigitsError:
            raise
        except Exception as error:
            raise _export_error(where, error, example) from error
    return buffer.getvalue()


def _of_any_batch(model: nn.Module, example: Tensor) -> torch.export.ExportedProgram | None:
    """None for a forward of another signature, and for one that takes this very number of images alone."""
    try:
        return torch.export.export(model, (example,), dynamic_shapes=({0: Dim.DYNAMIC},))
    except Exception:
        return None


def own_backward_passes(model: nn.Module, input_shape: tuple[int, ...]) -> list[str]:
    """The classes of `torch.autograd.Function` that train mode goes through: a graph has their forward passes alone.

    >>> own_backward_passes(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), (1, 8, 8))
    []
    """
    model.train()
    names: dict[str, None] = {}
    with torch.random.fork_rng(devices=[]), quiet(), torch.enable_grad():
        answers = torch.utils._pytree.tree_leaves(model(example_images(model, input_shape)))
    waiting = [answer.grad_fn for answer in answers if isinstance(answer, Tensor) and answer.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        step = waiting.pop()
        if isinstance(step, torch.autograd.function.BackwardCFunction):
            names[type(step).__name__.removesuffix("Backward")] = None
        before = {source for source, _ in step.next_functions if source is not None} - seen
        seen |= before
        waiting += before
    return list(names)


def materialised(model: nn.Module, input_shape: tuple[int, ...]) -> nn.Module:
    """The model; when it has lazy parameters, a copy of it that has seen an input and so knows its sizes.

    >>> materialised(nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), (1, 8, 8))[1].weight.shape
    torch.Size([10, 64])

    Raises TinydigitsError when the model does not take such an input.
    """
    if not any(is_lazy(p) for p in inventory(model).tensors.values()):
        return model
    copied = set_mode(duplicate(model).to("cpu"), train=False)
    with torch.random.fork_rng(devices=[]), torch.no_grad(), quiet():
        torch.manual_seed(0)
        try:
            copied(torch.zeros(BATCH_SIZE, *input_shape))
        except Exception as error:
            where = f"model {type(model).__name__}"
            raise TinydigitsError(where, f"fails on input of shape {input_shape}: {first_line(error)}") from error
    return copied


def example_images(model: nn.Module, input_shape: tuple[int, ...]) -> Tensor:
    """Black images in the type of the model's weights."""
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return torch.zeros(BATCH_SIZE, *input_shape, dtype=dtype)


def _inline(modules: fx.GraphModule) -> None:
    """Write what stands under torch.no_grad, which an export keeps as a graph of its own, into the one graph."""
    graph = modules.graph
    for node in list(graph.nodes):
        if "set_grad_enabled" not in str(node.target) or len(node.args) < 2 or not isinstance(node.args[1], Node):
            continue
        inner = getattr(modules, str(node.args[1].target)).graph
        places = [place for place in inner.nodes if place.op == "placeholder"]
        mapping = dict(zip(places, node.args[2:], strict=True))
        with graph.inserting_before(node):
            results = graph.graph_copy(inner, mapping)
        for user in list(node.users):
            user.replace_all_uses_with(results[user.args[1]])  # type: ignore[index]
            graph.erase_node(user)
        graph.erase_node(node)


def _live(static: Static, where: str, train: bool, held: Inventory) -> Graph:
    _inline(static.module)
    nodes = list(static.module.graph.nodes)
    inputs: dict[Node, tuple[Node, ...]] = {}
    writes: dict[Node, tuple[Node, ...]] = {}
    root: dict[Node, Node] = {}
    sharing: dict[Node, list[Node]] = {}
    written: dict[Node, list[Node]] = {}
    for node in nodes:
        sources = node.all_input_nodes
        first = sources[0] if sources else None
        inputs[node] = tuple(dict.fromkeys(source for a in sources for source in (a, *written.get(root[a], ()))))
        in_place = node.op == "call_function" and is_in_place(node)
        root[node] = root[first] if first is not None and (in_place or op_name(node) in _VIEWS) else node
        if in_place:
            writes[node] = tuple(sharing.get(root[node], ()))
            written.setdefault(root[node], []).append(node)
        sharing.setdefault(root[node], []).append(node)

    output = nodes[-1]
    first_output = next((n for n in output.all_input_nodes if tensor_of(n) is not None), None)
    if first_output is None:
        raise TinydigitsError(where, "gives no tensor")
    live: set[Node] = set()
    waiting = [first_output, *written.get(root[first_output], ())]
    while waiting:
        node = waiting.pop()
        if node not in live:
            live.add(node)
            waiting.extend(inputs[node])

    # By their order: a copy of a graph gives inputs such as `input` another name.
    places = [node for node in nodes if node.op == "placeholder"]
    specs = {node.name: spec for node, spec in zip(places, static.signature.input_specs, strict=True)}
    graph = Graph(
        nodes=tuple(node for node in nodes if node in live and node.op == "call_function"),
        operations=tuple(node for node in nodes if node.op == "call_function"),
        inputs=inputs,
        writes=writes,
        image=next(n for n in nodes if n.op == "placeholder" and specs[n.name].kind == InputKind.USER_INPUT),
        output=first_output,
        train=train,
    )
    # Of a tensor with several names an export takes any: here it has its first, as in `named_parameters()`.
    names: dict[int, str] = {}
    for name, tensor in held.tensors.items():
        names.setdefault(id(tensor), name)
    for node in nodes:
        if node.op == "get_attr":
            graph.values[node] = getattr(static.module, str(node.target))
        if node.op != "placeholder" or node is graph.image:
            continue
        spec = specs[node.name]
        name = str(spec.target)
        value = static.state[name] if name in static.state else static.constants.get(name)
        graph.values[node] = value
        if node not in live:
            continue
        if spec.kind == InputKind.PARAMETER:
            graph.parameters[node] = names.get(id(value), name)
        elif spec.kind == InputKind.BUFFER:
            graph.buffers[node] = names.get(id(value), name)
        elif spec.kind == InputKind.CONSTANT_TENSOR:
            graph.constants[node] = static.constants[name]
    return graph


def is_in_place(node: Node) -> bool:
    """Whether an operation writes into its first argument."""
    schema = getattr(node.target, "_schema", None)
    alias = schema.arguments[0].alias_info if schema is not None and schema.arguments else None
    return alias is not None and alias.is_write


def is_uniform(graph: Graph, node: Node) -> bool:
    """Whether a tensor that no training changes holds one number, over and over."""
    if node in graph.values:
        value = graph.values[node]
        return (
            node not in graph.parameters and isinstance(value, Tensor) and value.numel() > 0
            and bool((value == value.reshape(-1)[0]).all())
        )  # fmt: skip
    if op_name(node) in ("full", "full_like", "new_full", "new_ones", "ones", "ones_like"):
        return True
    return op_name(node) in _UNIFORM_AS_BEFORE and all(is_uniform(graph, source) for source in node.all_input_nodes)


def _export_error(where: str, error: Exception, example: Tensor) -> TinydigitsError:
    if "data-dependent" in str(error) or "DataDependent" in type(error).__name__:
        return TinydigitsError(
            where,
            "its forward decides by the values of its input, so it has no one graph to read",
            hint="torch.where instead of if",
        )
    return TinydigitsError(
        where,
        f"cannot be traced with an input of shape {tuple(example.shape)}: {first_line(error)}",
        hint="--input 3x32x32 for a model that takes another shape",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """torch logs and prints pages of internals when an export fails; the error that we raise says it in one line."""
    loggers = [logging.getLogger(name) for name in ("torch.fx.experimental.symbolic_shapes", "torch.export", "torch")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        nowhere = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
