"""Graphs that a stranger may send: small files that ask for more memory or time than there is, or for files."""

from __future__ import annotations

import io
import itertools
import json
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ONNX", "PT2"]


# ONNX: each has the card and the answer of a model of ours, and adds to it one number that takes some getting.


def _node(op: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(op, [*inputs], [output], **attributes)


def _model(nodes: Sequence[Any], sparse: Sequence[Any] = (), functions: Sequence[Any] = (), **constants: Any) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    card = {"model": "net", "source": "mnist", "classes": [*"0123456789"], "mean": 0.0, "std": 1.0,
            "input_shape": [1, 28, 28]}  # fmt: skip
    constants |= {"weight": np.ones((784, 10), np.float32), "one": np.ones(1, np.float32)}
    head = [
        _node("Flatten", ["images"], "flat"), _node("MatMul", ["flat", "weight"], "sums"),
        _node("ReduceMax", ["more"], "number", keepdims=0), _node("Add", ["sums", "number"], "logits"),
    ]  # fmt: skip
    graph = helper.make_graph(
        [*nodes, *head], "graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        sparse_initializer=[*sparse],
    )  # fmt: skip
    libraries = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=libraries, ir_version=10, functions=[*functions])
    helper.set_model_props(model, {"tinydigits": json.dumps(card)})
    return bytes(model.SerializeToString())


def _sizes(*sizes: int) -> np.ndarray:
    return np.array(sizes, np.int64)


def _doubling(times: int) -> bytes:
    names = ["images", *(f"x{number}" for number in range(times - 1)), "more"]
    return _model([_node("Concat", [one, one], other, axis=0) for one, other in itertools.pairwise(names)])


def _body(nodes: Sequence[Any], name: str) -> Any:
    """What a loop repeats: a number in, a number out."""
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(f"{name}{end}", TensorProto.FLOAT, []) for end in ("_in", "_out")]
    trip = helper.make_tensor_value_info(f"{name}_trip", TensorProto.INT64, [])
    goes_on = [helper.make_tensor_value_info(f"{name}_{end}", TensorProto.BOOL, []) for end in ("is", "goes")]
    again = _node("Identity", [f"{name}_is"], f"{name}_goes")
    return helper.make_graph([*nodes, again], name, [trip, goes_on[0], value[0]], [goes_on[1], value[1]])


def _loop(length: str, *before: Any, **constants: Any) -> bytes:
    body = _body([_node("Sin", ["body_in"], "body_out")], "body")
    loop = _node("Loop", [length, "", "start"], "more", body=body)
    return _model([*before, loop], start=np.float32(0), **constants)


def _as_the_image_says() -> list[Any]:
    """`at_least` and, for each full pixel, `times` more: nothing while the image is black."""
    from onnx import TensorProto

    return [
        _node("ReduceSum", ["images"], "ink", keepdims=0), _node("Mul", ["ink", "times"], "much"),
        _node("Cast", ["much"], "whole", to=TensorProto.INT64), _node("Add", ["whole", "at_least"], "count"),
    ]  # fmt: skip


def _calls(depth: int, callee: Callable[[int], str]) -> bytes:
    """Functions of the file's own, each of which calls another twice."""
    from onnx import helper

    ids = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    functions = []
    for number in range(depth):
        own = {"domain": "own"} if callee(number).startswith("f") else {}
        nodes = [_node(callee(number), ["a"], "b", **own), _node(callee(number), ["b"], "c", **own)]
        functions.append(helper.make_function("own", f"f{number}", ["a"], ["c"], nodes, ids))
    return _model([_node("f0", ["one"], "more", domain="own")], functions=functions)


def _text(times: int) -> bytes:
    from onnx import TensorProto

    nodes = [_node("StringConcat", [f"text{n}", f"text{n}"], f"text{n + 1}") for n in range(times)]
    nodes += [_node("Equal", [f"text{times}", "text0"], "same"), _node("Cast", ["same"], "more", to=TensorProto.FLOAT)]
    return _model(nodes, text0=np.array(["word"], dtype=object))


def _sparse() -> bytes:
    from onnx import helper, numpy_helper

    value, place = (numpy_helper.from_array(np.array([1], kind), "more") for kind in (np.float32, np.int64))
    return _model([], sparse=[helper.make_sparse_tensor(value, place, [1_000_000, 1_000_000])])


ONNX: dict[str, Callable[[], bytes]] = {
    "a tensor of 10^12 numbers": lambda: _model([_node("Expand", ["one", "size"], "more")], size=_sizes(10**6, 10**6)),
    "a tensor as large as the image says": lambda: _model(
        [*_as_the_image_says(), _node("Expand", ["one", "count"], "more")],
        times=np.float32(1e9), at_least=_sizes(1),
    ),
    "a tensor that doubles 50 times": lambda: _doubling(50),
    "a weight of 10^12 numbers that stores one": _sparse,
    "a text that doubles 50 times": lambda: _text(50),
    "a loop of 10^12 trips": lambda: _loop("trips", trips=np.int64(10**12)),
    "a loop as long as the image says": lambda: _loop(
        "count", *_as_the_image_says(), times=np.float32(1e9), at_least=np.int64(1)
    ),
    "a convolution of 10^13 products": lambda: _model(
        [
            _node("Expand", ["one", "large"], "picture"), _node("Expand", ["one", "small"], "kernel"),
            _node("Conv", ["picture", "kernel"], "more"),
        ],
        large=_sizes(1, 1, 3_500, 3_500), small=_sizes(1, 1, 1_750, 1_750),
    ),
    "functions that call others twice, 50 deep": lambda: _calls(50, lambda n: f"f{n + 1}" if n < 49 else "Sin"),
    "a function that calls itself": lambda: _calls(1, lambda n: "f0"),
}  # fmt: skip


# Archives of torch.export.


@cache
def _archive() -> tuple[dict[str, bytes], str]:
    """The files of a plain model's archive, and the name of the one with the graph."""
    import torch

    program = torch.export.export(torch.nn.Flatten().eval(), (torch.zeros(2, 1, 28, 28),))
    file = io.BytesIO()
    torch.export.save(program, file)
    with zipfile.ZipFile(file) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return files, next(name for name in files if name.endswith("models/model.json"))


def _edited(edit: Callable[[Any, str], None]) -> Callable[[Path], bytes]:
    """The archive with another graph: `edit` is given its tree, and Python that makes the canary."""

    def make(canary: Path) -> bytes:
        files, graph = _archive()
        tree = json.loads(files[graph])
        edit(tree, f"__import__('pathlib').Path({str(canary)!r}).touch()")
        return _zipped(files | {graph: json.dumps(tree).encode()})

    return make


def _operation(target: str, **arguments: Any) -> Callable[[Path], bytes]:
    """The archive with another operation in its graph; `{canary}` in a text becomes the path of the canary."""

    def make(canary: Path) -> bytes:
        told = json.loads(json.dumps(arguments).replace("{canary}", str(canary)))

        def edit(tree: Any, _: str) -> None:
            inputs = [{"name": name, "arg": arg, "kind": 1} for name, arg in told.items()]
            tree["graph_module"]["graph"]["nodes"][0] |= {"target": target, "inputs": inputs}

        return _edited(edit)(canary)

    return make


def _argument(tree: Any, code: str) -> None:
    """torch writes the name of an argument into the source of the graph's function as it stands."""
    one = {"name": f"self = ({code}, input)[1], end_dim", "arg": {"as_int": -1}, "kind": 2}
    tree["graph_module"]["graph"]["nodes"][0]["inputs"] = [one]


def _input(tree: Any, code: str) -> None:
    """So it does with the name of an input."""
    text = json.dumps(tree).replace('"input"', json.dumps(f"input={code}"))
    tree.clear()
    tree.update(json.loads(text))


def _size(tree: Any, code: str) -> None:
    sizes = tree["graph_module"]["graph"]["tensor_values"]["flatten"]["sizes"]
    sizes[0] = {"as_expr": {"expr_str": f"{code} or 2", "hint": {"as_int": 2}}}


def _power(tree: Any, code: str) -> None:
    _size(tree, "Integer(9)**Integer(9)**Integer(99)")


def _containers(kind: str, context: Any) -> Callable[[Any, str], None]:
    """Containers whose description names a module, which torch imports: here one that prints a poem."""

    def edit(tree: Any, code: str) -> None:
        spec = {"type": kind, "context": json.dumps(context), "children_spec": []}
        signature = tree["graph_module"]["module_call_graph"][0]["signature"]
        signature["in_spec"] = json.dumps([1, spec])

    return edit


def _guard(tree: Any, code: str) -> None:
    tree["guards_code"] = [code]


def _zipped(files: dict[str, bytes], *more: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (*files.items(), *more):
            archive.writestr(name, content)
    return file.getvalue()


def _hidden(canary: Path) -> bytes:
    """Two graphs by one name but for its case, which torch's reader of zip files does not tell apart."""
    files, graph = _archive()
    with zipfile.ZipFile(io.BytesIO(_edited(_size)(canary))) as archive:
        evil = archive.read(graph)
    others = {name: content for name, content in files.items() if name != graph}
    return _zipped(others, (graph.upper(), evil), (graph, files[graph]))


def _exported(forward: Callable[[Any], Any]) -> Callable[[Path], bytes]:
    def make(canary: Path) -> bytes:
        import torch

        class Net(torch.nn.Module):
            def forward(self, images: Any) -> Any:
                return images.flatten(1)[:, :10] + forward(images)

        file = io.BytesIO()
        torch.export.save(torch.export.export(Net().eval(), (torch.zeros(2, 1, 28, 28),)), file)
        return file.getvalue()

    return make


def _large(images: Any) -> Any:
    import torch

    return torch.ones(1_000_000, 1_000_000).amax()


def _doubled(images: Any) -> Any:
    import torch

    for _ in range(40):
        images = torch.cat([images, images])
    return images.amax()


def _products(images: Any) -> Any:
    import torch

    matrix = torch.full((2_500, 2_500), 1e-4)
    product = matrix
    for _ in range(300):
        product = product @ matrix
    return product.amax()


def _forever(images: Any) -> Any:
    import torch

    trips, _ = torch.ops.higher_order.while_loop(
        lambda count, value: count < 10**12, lambda count, value: (count + 1, value.sin()),
        (torch.zeros((), dtype=torch.int64), images.sum()), (),
    )  # fmt: skip
    return trips


PT2: dict[str, Callable[[Path], bytes]] = {
    "an operation that makes a file": _operation(
        "torch.ops.aten.from_file.default", filename={"as_string": "{canary}"}, shared={"as_bool": True},
        size={"as_int": 20},
    ),
    "an operation that is os.system": _operation("torch.os.system", command={"as_string": "touch {canary}"}),
    "an operation that imports a module": _operation(
        "torch.export.custom_ops._call_custom_autograd_function_in_pre_dispatch",
        function_cls_name={"as_string": "this.Net"},
    ),
    "code as the name of an argument": _edited(_argument),
    "code as the name of an input": _edited(_input),
    "code as a size": _edited(_size),
    "code as a guard": _edited(_guard),
    "code in a graph that hides behind another": _hidden,
    "a size that is a tower of powers": _edited(_power),
    "a container that imports a module": _edited(
        _containers("collections.defaultdict", {"default_factory_module": "this", "default_factory_name": "s"})
    ),
    "a choice that imports a module": _edited(
        _containers("builtins.dict", {"__enum__": True, "fqn": "this:s", "name": "s"})
    ),
    "an operation that is not checked": _operation("torch.ops.aten._test_string_default.default"),
    "a tensor of 10^12 numbers": _exported(_large),
    "a tensor that doubles 40 times": _exported(_doubled),
    "a product of 300 large matrices": _exported(_products),
    "a loop of 10^12 trips": _exported(_forever),
}  # fmt: skip
