"""How far each value of the graph sees: receptive fields, propagated operation by operation.

Every axis of every value is a tuple of atoms. An atom is a run of `num` positions along image rows (dim 0) or columns
(dim 1), `jump` pixels apart, or a run of channels (dim None). Flattening joins atoms, reshaping splits them, a
convolution spreads them, and averaging removes them; so a pool is global exactly when no atom of rows or columns is
left, in whatever way the model wrote it.

The rule for one window is size += (kernel - 1) · jump, then jump *= stride (Araujo, Norris, Sim, Computing Receptive
Fields of Convolutional Neural Networks, Distill 2019). Whatever mixes all positions, such as a global pool, a linear
layer over a flattened map, or attention, is a window as large as the map: size += (num - 1) · jump. Of several paths
the largest counts. Sizes are of the architecture: not cut at the image's edge, so a field can be larger than the image.
Normalisation over positions (batch, layer, group norm) does not count, as in the published figures.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch.fx import Node

from tinydigits.trace.graph import Graph, arguments, is_uniform, op_name, tensor_of
from tinydigits.trace.view import Atom, View, aligned, plain, regroup

__all__ = ["propagate"]

_NO_MIXING = frozenset({
    "_to_copy", "alias", "alpha_dropout", "batch_norm", "bernoulli", "clone", "clone_copy", "contiguous", "copy",
    "detach", "detach_copy", "dropout", "feature_alpha_dropout", "feature_dropout", "fill", "flip", "group_norm",
    "hardswish", "instance_norm", "layer_norm", "lift_fresh_copy", "local_response_norm", "log_sigmoid",
    "masked_fill", "native_dropout", "prelu", "rms_norm", "roll", "rrelu", "rsub", "to", "type_as", "zero",
})  # fmt: skip
_RESHAPES = frozenset({
    "flatten", "reshape", "reshape_as", "squeeze", "unflatten", "unsqueeze", "view", "view_as",
})  # fmt: skip
_RESIZES = frozenset({
    "chunk", "constant_pad_nd", "getitem", "index_select", "narrow", "pad", "reflection_pad2d", "replication_pad2d",
    "slice", "split",
})  # fmt: skip
_RESIZES |= {"split_with_sizes", "tensor_split", "zero_pad2d", "reflection_pad1d", "replication_pad1d"}
_AVERAGES = frozenset({"mean", "nanmean", "sum", "nansum"})
_MAXIMA = frozenset({"amax", "max", "adaptive_max_pool2d", "adaptive_max_pool1d"})
_REDUCTIONS = _AVERAGES | _MAXIMA | {
    "all", "amin", "any", "linalg_vector_norm", "logsumexp", "median", "min", "norm", "prod", "std", "var",
}  # fmt: skip


def propagate(graph: Graph) -> dict[Node, View]:
    """The view of every live value that depends on the image; values made of weights alone have none."""
    shape = _shape(graph.image)
    axes = list(plain(shape))
    if len(shape) == 4:
        for i, dim in ((2, 0), (3, 1)):
            axes[i] = (Atom(dim, shape[i], 1),) if shape[i] > 1 else ()
    views = {graph.image: View((1, 1), tuple(axes))}
    for node in graph.nodes:
        sources = [views[source] for source in node.all_input_nodes if source in views]
        if not sources:
            continue
        view = _step(node, sources, views, graph)
        views[node] = view
        for other in graph.writes.get(node, ()):
            # The write is seen through every value that shares the memory.
            before, shape = views.get(other), _shape(other)
            same = shape == _shape(node)
            written = view if same else replace(view, axes=before.axes if before else aligned(view, shape))
            views[other] = written if before is None or same else _together([before, written], shape)
    return views


def _shape(node: Node) -> tuple[int, ...]:
    """The shape of a node's tensor; of its first one when it gives several."""
    value = node.meta.get("val")
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], torch.Tensor):
        return tuple(value[0].shape)
    tensor = tensor_of(node)
    return tuple(tensor.shape) if tensor is not None else ()


def _step(node: Node, sources: list[View], views: dict[Node, View], graph: Graph) -> View:
    name, args, shape = op_name(node), arguments(node), _shape(node)
    first = sources[0]
    pointwise = torch.Tag.pointwise in getattr(node.target, "tags", ())
    if pointwise or name in _NO_MIXING:
        return _together(sources, shape)
    if name in ("expand", "expand_as", "repeat", "broadcast_to", "where"):
        return _together(sources, shape)
    if name in _RESHAPES:
        axes = regroup(first.axes, shape)
        return first.give_up(shape) if axes is None else replace(first, axes=axes)
    if name in ("conv1d", "conv2d", "convolution", "max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d"):
        return _window(name, node, args, first, shape)
    if name.startswith("max_pool2d_with") or name.startswith("max_pool1d_with"):
        return _window("max_pool2d", node, args, first, shape)
    if name.startswith("adaptive_"):
        return _adaptive(name, first, shape)
    if name in _REDUCTIONS:
        how = "average" if name in _AVERAGES else "max" if name in _MAXIMA else "other"
        how = "weighted" if how == "average" and _is_weighted(node, name, views, graph) else how
        return _reduce(how, args, first, shape)
    if name in ("linear", "addmm"):
        source = _view_of(args.get("input") if name == "linear" else args.get("mat1"), views) or first
        seen = source.without([len(source.axes) - 1], "weighted", keepdim=False)
        return replace(seen, axes=(*seen.axes, *plain(shape[-1:])))
    if name in ("matmul", "mm", "bmm"):
        return _matmul(node, views, shape)
    if name == "einsum":
        return _einsum(args, views, shape, graph)
    if name in ("permute", "transpose", "t", "swapaxes", "movedim", "numpy_T"):
        return _permute(name, args, first, shape)
    if name in ("cat", "concat"):
        return _together(sources, shape, joined=args.get("dim", 0) % len(shape))
    if name in _RESIZES and len(first.axes) == len(shape):
        return replace(first, axes=aligned(first, shape, step=args.get("step") or 1))
    if name in ("select", "getitem", "unbind", "stack"):
        return _select_or_stack(name, node, args, sources, shape)
    if name in ("softmax", "log_softmax", "softmin", "cumsum", "sort", "argsort", "_softmax", "_log_softmax"):
        return first.mixed([args.get("dim", -1) % len(shape)]) if shape else first
    if name.startswith("grid_sampler") and len(first.axes) == 4:  # from any position of the map to any other
        looked = first.mixed([2, 3])
        return _together([replace(looked, axes=aligned(first, shape)), *(s.give_up(shape) for s in sources[1:])], shape)
    if name == "scaled_dot_product_attention":
        rows = [s.mixed([len(s.axes) - 2]) for s in sources]
        return replace(_together([sources[0], *rows], shape), axes=(*first.axes[:-1], *plain(shape[-1:])))
    given_up = [source.give_up(shape) for source in sources]
    return _together(given_up, shape)


def _view_of(value: Any, views: dict[Node, View]) -> View | None:
    return views.get(value) if isinstance(value, Node) else None


def _together(sources: list[View], shape: tuple[int, ...], joined: int | None = None) -> View:
    """Element by element, broadcast from the right; along `joined` the axes are laid end to end instead."""
    if joined is not None:  # rows and columns in one axis, with something beside them, are no run of positions any more
        sources = [
            s if len(s.axes[joined]) < 2 or prod(a.num for a in s.axes[joined]) == shape[joined]
            else replace(s.mixed([joined]), exact=False)
            for s in sources
        ]  # fmt: skip
    size = (max(s.size[0] for s in sources), max(s.size[1] for s in sources))
    axes: list[tuple[Atom, ...]] = []
    for i, num in enumerate(shape):
        candidates = []
        for source in sources:
            offset = i - (len(shape) - len(source.axes))
            if offset < 0:
                continue
            axis = source.axes[offset]
            length = prod(atom.num for atom in axis)
            if length == num:
                candidates.append(axis)
            elif i == joined and len(axis) == 1 and axis[0].dim is not None:
                candidates.append((replace(axis[0], num=num),))
        spatial = [axis for axis in candidates if any(atom.dim is not None for atom in axis)]
        axes.append(max(spatial, key=lambda axis: max(atom.jump for atom in axis)) if spatial else plain((num,))[0])
    # A gate that was pooled does not make the map that it scales a pooled one.
    most = max(prod(s.num_positions) for s in sources)
    pooled = frozenset().union(*(s.pooled for s in sources if prod(s.num_positions) == most))
    return View(size, tuple(axes), pooled, all(s.exact for s in sources))


def _window(name: str, node: Node, args: dict[str, Any], source: View, shape: tuple[int, ...]) -> View:
    num_dims = 1 if name.endswith("1d") else 2
    if name.startswith("conv"):
        weight = args["weight"]
        kernel = list(_shape(weight)[2:])
        num_dims = len(kernel)
    else:
        kernel = _per_dim(args["kernel_size"], num_dims)
    stride = _per_dim(args.get("stride") or kernel, num_dims)
    padding = args.get("padding", 0)
    padding = [0] * num_dims if isinstance(padding, str) else _per_dim(padding, num_dims)
    dilation = _per_dim(args.get("dilation") or 1, num_dims)
    size, axes = list(source.size), list(source.axes)
    if name.startswith("conv"):
        axes[-num_dims - 1] = plain(shape[-num_dims - 1 : -num_dims])[0]
    covers = True
    for i in range(num_dims):
        axis = len(axes) - num_dims + i
        atoms, out = axes[axis], shape[len(shape) - num_dims + i]
        reach = (kernel[i] - 1) * dilation[i]
        if len(atoms) > 1:  # a window over a flattened map
            return source.give_up(shape)
        atom = atoms[0] if atoms else None
        if atom is not None and atom.dim is not None:
            size[atom.dim] += reach * atom.jump
            covers &= out == 1 and reach + 1 >= atom.num + padding[i]
            axes[axis] = (Atom(atom.dim, out, atom.jump * stride[i]),) if out > 1 else ()
        else:
            axes[axis] = plain((out,))[0]
    pooled = source.pooled
    if not name.startswith("conv") and source.is_map:
        how = "average" if name.startswith("avg") else "max"
        pooled = pooled | {how if covers else "part"}  # a window that leaves 1×1 but missed an edge is not global
    view = View((size[0], size[1]), tuple(axes), pooled, source.exact)
    return replace(view, pooled=frozenset()) if view.is_map or name.startswith("conv") else view


def _per_dim(value: Any, num_dims: int) -> list[int]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * num_dims if len(values) == 1 else values


def _adaptive(name: str, source: View, shape: tuple[int, ...]) -> View:
    num_dims = 1 if name.endswith("1d") else 2
    pooled_axes = list(range(len(shape) - num_dims, len(shape)))
    how = "average" if "avg" in name else "max"
    if all(shape[i] == 1 for i in pooled_axes):
        return source.without(pooled_axes, how, keepdim=True)
    size, axes, exact = list(source.size), list(source.axes), source.exact
    for i in pooled_axes:
        if len(axes[i]) != 1 or axes[i][0].dim is None:
            axes[i] = plain((shape[i],))[0]
            continue
        atom = axes[i][0]
        assert atom.dim is not None
        step, rest = divmod(atom.num, shape[i])
        # Uneven bins are up to one position larger; the largest counts.
        size[atom.dim] += (step - 1 + (1 if rest else 0)) * atom.jump
        exact &= rest == 0
        axes[i] = (Atom(atom.dim, shape[i], atom.jump * step),) if shape[i] > 1 else ()
    return View((size[0], size[1]), tuple(axes), frozenset(), exact)


def _is_weighted(node: Node, name: str, views: dict[Node, View], graph: Graph) -> bool:
    """Whether the positions that are summed were multiplied by numbers that differ between them.

    The mean of a gated map is an average of that map; a sum of it, as in attention pooling, is a weighted one.
    """
    source = node.all_input_nodes[0]
    if op_name(source) != "mul" or len(source.all_input_nodes) < 2:
        return False
    axes = views[source].axes
    for factor in source.all_input_nodes:
        if factor not in views:
            lengths = (1,) * (len(axes) - len(_shape(factor))) + _shape(factor)
            spread = any(
                num > 1 and any(a.dim is not None for a in axis) for num, axis in zip(lengths, axes, strict=True)
            )
            return spread and not is_uniform(graph, factor)
    return "sum" in name and all(views[factor].is_map for factor in source.all_input_nodes)


def _reduce(how: str, args: dict[str, Any], source: View, shape: tuple[int, ...]) -> View:
    num_axes = len(source.axes)
    dims = args.get("dim")
    if isinstance(dims, Node) or "other" in args:  # max(a, b): element by element
        return _together([source], shape)
    dims = list(range(num_axes)) if dims in (None, []) else [dims] if isinstance(dims, int) else list(dims)
    return source.without([d % num_axes for d in dims], how, keepdim=bool(args.get("keepdim", False)))


def _matmul(node: Node, views: dict[Node, View], shape: tuple[int, ...]) -> View:
    left, right = (views.get(n) for n in node.all_input_nodes[:2]) if len(node.all_input_nodes) > 1 else (None, None)
    if left is None and right is None:
        left = views[node.all_input_nodes[0]]
    if left is not None:
        left = left.without([len(left.axes) - 1], "weighted", keepdim=False)
        left = replace(left, axes=(*left.axes, *plain(shape[len(left.axes) :])))
    if right is not None:
        axis = max(len(right.axes) - 2, 0)
        right = right.without([axis], "weighted", keepdim=True) if len(right.axes) > 1 else right
    sources = [view for view in (left, right) if view is not None]
    return _together(sources, shape)


def _einsum(args: dict[str, Any], views: dict[Node, View], shape: tuple[int, ...], graph: Graph) -> View:
    equation, tensors = args["equation"].replace(" ", ""), args["tensors"]
    terms, _, result = equation.partition("->")
    letters = terms.split(",")
    if "." in equation or "->" not in equation:
        read = [views[t] for t in tensors if t in views]
        return _together(read, shape).give_up(shape)
    axis_of: dict[str, tuple[Atom, ...]] = {}
    reduced: list[View] = []
    for term, tensor in zip(letters, tensors, strict=True):
        view = views.get(tensor)
        if view is None:
            continue
        for letter, axis in zip(term, view.axes, strict=True):
            if letter in result and (letter not in axis_of or any(atom.dim is not None for atom in axis)):
                axis_of[letter] = axis
        for i, letter in enumerate(term):
            if letter not in result:
                # A letter of one operand only is summed: an average up to a factor, which later weights absorb. So is
                # one that meets the same number everywhere.
                shared = [t for other, t in zip(letters, tensors, strict=True) if letter in other and t is not tensor]
                how = "average" if all(is_uniform(graph, t) for t in shared) else "weighted"
                view = view.without([i], how, keepdim=True)
        reduced.append(view)
    together = View(
        (max(v.size[0] for v in reduced), max(v.size[1] for v in reduced)),
        tuple(axis_of.get(letter) or plain((num,))[0] for letter, num in zip(result, shape, strict=True)),
        frozenset().union(*(v.pooled for v in reduced)),
        all(v.exact for v in reduced),
    )
    return together


def _permute(name: str, args: dict[str, Any], source: View, shape: tuple[int, ...]) -> View:
    order = list(range(len(source.axes)))
    if name == "permute":
        order = [d % len(order) for d in args["dims"]]
    elif name in ("transpose", "swapaxes"):
        a, b = (args[key] % len(order) for key in (("dim0", "dim1") if "dim0" in args else ("axis0", "axis1")))
        order[a], order[b] = order[b], order[a]
    elif name in ("t", "numpy_T"):
        order.reverse()
    else:
        return source.give_up(shape)
    return replace(source, axes=tuple(source.axes[i] for i in order))


def _select_or_stack(name: str, node: Node, args: dict[str, Any], sources: list[View], shape: tuple[int, ...]) -> View:
    first = sources[0]
    if name == "getitem" and len(first.axes) == len(shape):
        return first
    if name == "stack":
        dim = args.get("dim", 0) % len(shape)
        inner = _together(sources, shape[:dim] + shape[dim + 1 :])
        return replace(inner, axes=(*inner.axes[:dim], *plain(shape[dim : dim + 1]), *inner.axes[dim:]))
    if name in ("select", "unbind"):
        dim = args.get("dim", 0) % len(first.axes)
        spatial = any(atom.dim is not None for atom in first.axes[dim])
        axes = first.axes[:dim] + first.axes[dim + 1 :]
        return replace(first, axes=axes, pooled=first.pooled | ({"part"} if spatial else set()))
    return first.give_up(shape)
