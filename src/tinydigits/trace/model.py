"""A whole model's trace: its layers in train and in eval mode, its weights, its cost and its receptive field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.fx import Node

from tinydigits.table import Table
from tinydigits.trace.field import View, propagate
from tinydigits.trace.gradient import reach
from tinydigits.trace.graph import Graph, export_graph, materialised, op_name, tensor_of
from tinydigits.trace.inventory import listed
from tinydigits.trace.layers import Layer, layers_of
from tinydigits.trace.replay import acts, confirm
from tinydigits.trace.weights import weigh

__all__ = ["Trace", "trace"]


# Layers that only rename or reorder numbers say nothing in a table.
_SILENT = {"reshape", "no_dropout"}


@dataclass(frozen=True, repr=False)
class Trace:
    """A model's graph: its layers in order, and totals.

    `layers` are those of train mode, `eval_layers` those of inference, of which `macs` and `receptive_field` speak.
    `num_parameters` counts every parameter of the module once, shared, frozen and unused ones too; `num_trainable`
    those that ask for a gradient; `num_unused` those that the output does not depend on. `num_buffers` are all numbers
    in buffers, `num_buffer_weights` those that are no running statistics. `num_constants` are numbers that the graph
    uses and that are neither: weights kept outside of `parameters()`. `exact` is False when the receptive field is an
    upper bound, because of `unknown_ops`. `opaque_ops` are operations with code of their own inside.
    """

    layers: tuple[Layer, ...]
    eval_layers: tuple[Layer, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    num_parameters: int
    num_trainable: int
    num_unused: int
    num_buffers: int
    num_buffer_weights: int
    num_constants: int
    macs: int
    receptive_field: tuple[int, int]
    exact: bool
    unknown_ops: tuple[str, ...]
    opaque_ops: tuple[str, ...]
    graphs: tuple[Graph, ...] = field(repr=False, compare=False)

    @property
    def kinds(self) -> Counter[str]:
        """How many layers there are of each kind."""
        return Counter(kind for layer in self.layers for kind in layer.kinds)

    def places(self, kind: str) -> list[str]:
        """Where layers of a kind are, in either mode."""
        layers_of_kind = [layer for layer in (*self.layers, *self.eval_layers) if kind in layer.kinds]
        return list(dict.fromkeys(layer.path or layer.name for layer in layers_of_kind))

    @property
    def random_ops(self) -> list[str]:
        """The operations other than dropout by which train mode draws random numbers."""
        drawn = (node for node in self.graphs[0].nodes if torch.Tag.nondeterministic_seeded in _tags(node))
        return list(dict.fromkeys(name for node in drawn if "dropout" not in (name := op_name(node))))

    def lacks(self, kind: str, *, moved: bool) -> str:
        """Why the model has no layer of a kind that acts on its answers, empty when it has one.

        >>> drops = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
        >>> trace(drops, (1, 8, 8)).lacks("dropout", moved=True), trace(drops, (1, 8, 8)).lacks("conv", moved=True)
        ('', 'no conv reaches the output')

        `moved` asks of a model that is still to be trained, whose gates may start at zero.
        """
        for graph in self.graphs:
            mode, layers = ("train", self.layers) if graph.train else ("eval", self.eval_layers)
            if kind == "dropout" and not graph.train:
                continue
            layers_of_kind = [layer for layer in layers if kind in layer.kinds]
            if not layers_of_kind:
                return f"no {kind} reaches the output" + (
                    " in eval mode" if self.graphs[0].train and not graph.train else ""
                )
            nodes = {node.name: node for node in graph.nodes}
            if not any(acts(graph, nodes[layer.name], self.input_shape, moved=moved) for layer in layers_of_kind):
                places = ", ".join(dict.fromkeys(layer.path or layer.name for layer in layers_of_kind))
                return f"{kind} at {places} has no effect on the answers in {mode} mode"
        return ""

    def table(self) -> Table:
        """A row for each layer of train mode, and the totals below."""
        rows = [
            (
                layer.path or layer.name, layer.kind, "×".join(map(str, layer.output_shape)),
                f"{layer.num_parameters:,}" if layer.parameter_names else "", _field(layer.receptive_field),
                f"{layer.macs:,}" if layer.macs else "",
            )
            for layer in self.layers if layer.kind not in _SILENT
        ]  # fmt: skip
        head = ("layer", "kind", "output", "parameters", "field", "multiply-adds")
        return Table(head, rows, "llrrrr", [f"{name:<20}{value}" for name, value in self._totals().items()])

    def _totals(self) -> dict[str, str]:
        trainable = "" if self.num_trainable == self.num_parameters else f" ({self.num_trainable:,} trainable)"
        unused = f", {self.num_unused:,} that the output does not use" if self.num_unused else ""
        exact = "" if self.exact else f" at most, because of {', '.join(self.unknown_ops)}"
        return {
            "parameters": f"{self.num_parameters:,}{trainable}{unused}",
            "buffers": f"{self.num_buffers:,}",
            "multiply-adds": f"{self.macs:,} for one image",
            "receptive field": f"{_field(self.receptive_field)} pixels{exact}",
            "size of parameters": f"{self.num_parameters * 4:,} bytes as fp32, {self.num_parameters:,} as int8",
        }

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        totals = Table(("in all", ""), list(self._totals().items()), "ll")
        return replace(self.table(), notes=())._repr_html_() + totals._repr_html_()

    def reach(self, *, moved: bool) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of the image that gradients reach in eval mode: with the model's own weights, and with any.

        >>> trace(nn.Conv2d(1, 2, (3, 1)), (1, 5, 8)).reach(moved=True)
        ((5, 8), (5, 8))

        `moved` asks of a model that is still to be trained. Raises TinydigitsError when the graph has no gradient.
        """
        return reach(self.graphs[-1], self.input_shape, moved=moved)


def trace(model: nn.Module, input_shape: tuple[int, ...] = (1, 28, 28), *, train: bool = True) -> Trace:
    """Read a model's layers, parameters, multiply-adds and receptive field from its graph; the model is not touched.

    >>> from torch import nn
    >>> small = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    >>> found = trace(small)
    >>> [layer.kind for layer in found.layers]
    ['conv', 'relu', 'global_average_pool', 'flatten', 'linear']
    >>> found.num_parameters, found.macs, found.layers[0].receptive_field
    (90, 24376, (3, 3))

    `input_shape` is one input without the batch. Copies of the model run on fake tensors, in train mode, so that
    dropout and batch statistics are seen, and in eval mode, in which it answers; `train=False` reads eval mode alone,
    for a model that has no other. Raises TinydigitsError when the model cannot be exported, as when its forward
    branches on the values of its input, and Contradiction when the graph is not what the model computes or
    `parameters()` does not list what it holds.
    """
    shape = tuple(input_shape)
    listed(model)
    model = materialised(model, shape)
    graphs = tuple(export_graph(model, shape, train=mode) for mode in ((True, False) if train else (False,)))
    for graph in graphs:
        confirm(model, graph, shape)
    views = tuple(propagate(graph) for graph in graphs)
    layers = tuple(layers_of(graph, seen) for graph, seen in zip(graphs, views, strict=True))
    weights = weigh(model, graphs, views)
    output, final = tensor_of(graphs[-1].output), views[-1].get(graphs[-1].output)
    assert output is not None
    return Trace(
        layers=layers[0],
        eval_layers=layers[-1],
        input_shape=shape,
        output_shape=tuple(output.shape[1:]),
        num_parameters=weights.parameters,
        num_trainable=weights.trainable,
        num_unused=weights.unused,
        num_buffers=weights.buffers,
        num_buffer_weights=weights.buffer_weights,
        num_constants=weights.constants,
        macs=sum(layer.macs for layer in layers[-1]),
        receptive_field=final.size if final else (0, 0),
        exact=final.exact if final else True,
        unknown_ops=_unknown(graphs[-1], views[-1]),
        opaque_ops=_opaque(graphs),
        graphs=graphs,
    )


def _tags(node: Node) -> Sequence[torch.Tag]:
    return getattr(node.target, "tags", ())


def _field(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}×{size[1]}"


def _opaque(graphs: tuple[Graph, ...]) -> tuple[str, ...]:
    """Operations that are none of torch's own, or that hold a graph of their own, such as a branch."""
    names = (str(node.target) for graph in graphs for node in graph.operations)
    return tuple(dict.fromkeys(name for name in names if not name.startswith(("aten.", "prims.", "<built-in"))))


def _unknown(graph: Graph, views: dict[Node, View]) -> tuple[str, ...]:
    """The operations at which exactness was lost."""
    lost = []
    for node in graph.nodes:
        sources = [views[source] for source in node.all_input_nodes if source in views]
        if node in views and not views[node].exact and all(source.exact for source in sources):
            lost.append(op_name(node))
    return tuple(dict.fromkeys(lost))
