"""A model as data: the graphs that torch.export wrote of it, in eval and in train mode, over one set of weights."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, OutputKind

from tinydigits.bounds import asking
from tinydigits.errors import TinydigitsError

__all__ = ["ExportedModel", "Static", "in_batches", "register", "widened"]

_Reader = Callable[..., "ExportedModel"]


@dataclass(frozen=True)
class Static:
    """A graph of a batch of one size, which every value's shape is known for; its weights go in as inputs."""

    module: fx.GraphModule
    signature: ExportGraphSignature
    state: Mapping[str, Tensor]
    constants: Mapping[str, Any]


@dataclass(frozen=True)
class _Mode:
    """The graph of one mode, which copies of a model have in common."""

    program: ExportedProgram
    inputs: tuple[str | None, ...]
    """What goes in, by name; None for the images."""
    output: int
    dtype: torch.dtype
    batch_size: int | None
    input_shape: tuple[int, ...] | None
    adapted: dict[tuple[torch.device, bool], fx.GraphModule] = field(default_factory=dict)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Mode:
        return self

    def module_for(self, device: torch.device, *, wide: bool) -> fx.GraphModule:
        """The graph on a device, and in double precision where `wide`: an export writes both into it."""
        if device.type == "cpu" and not wide:
            return self.program.graph_module
        if (device, wide) not in self.adapted:
            module = copy.deepcopy(self.program.graph_module)
            change = functools.partial(_adapt, device=device, wide=wide)
            for part in module.modules():
                for node in part.graph.nodes if isinstance(part, fx.GraphModule) else ():
                    node.args = fx.node.map_aggregate(node.args, change)
                    node.kwargs = fx.node.map_aggregate(node.kwargs, change)
                if isinstance(part, fx.GraphModule):
                    part.recompile()
            self.adapted[device, wide] = module
        return self.adapted[device, wide]


class ExportedModel(nn.Module):
    """A module whose forward pass is a graph, with the weights under the names that they had.

    `train()` and `eval()` choose between the graphs; without one of train mode there is that of eval mode alone.
    `batch_size` is None where it takes any number of images, `input_shape` where it leaves the shape of one open.
    `reader` and `contents` make it anew in another process.
    """

    def __init__(self, programs: Mapping[bool, ExportedProgram], reader: _Reader, contents: tuple[bytes, ...]) -> None:
        super().__init__()
        self.reader, self.contents = reader, contents
        self.constants: dict[str, Any] = {}
        self.modes: dict[bool, _Mode] = {}
        for train, program in programs.items():
            self.modes[train] = self._take(program, train)

    @property
    def has_train_mode(self) -> bool:
        return True in self.modes

    @property
    def dtype(self) -> torch.dtype:
        return self.modes[False].dtype

    @property
    def batch_size(self) -> int | None:
        return self.modes[False].batch_size

    @property
    def input_shape(self) -> tuple[int, ...] | None:
        return self.modes[False].input_shape

    def _take(self, program: ExportedProgram, train: bool) -> _Mode:
        specs = program.graph_signature.input_specs
        images = [spec.arg.name for spec in specs if spec.kind == InputKind.USER_INPUT]
        if len(images) != 1:
            raise TinydigitsError("its graph", got=f"{len(images)} inputs", expected="one: the images")
        inputs: list[str | None] = []
        kept: dict[Any, Tensor] = {}
        held = dict(_named(self))  # by the graph before
        for spec in specs:
            if spec.kind == InputKind.USER_INPUT:
                inputs.append(None)
                continue
            name = str(spec.target)
            tensor = program.state_dict[name] if name in program.state_dict else program.constants[name]
            if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
                inputs.append(name)
                if spec.kind == InputKind.PARAMETER:
                    tensor = nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)
                # An archive has a tensor under each of its names: they share its memory.
                tensor = kept.setdefault((spec.kind, tensor.data_ptr(), tensor.shape, tensor.stride()), tensor)
                if name not in held:
                    register(self, name, tensor, persistent=spec.persistent is not False)
                elif held[name].shape != tensor.shape or not _same(held[name], tensor):
                    raise TinydigitsError("its graphs", f"of train and of eval mode have another {name}")
            else:
                inputs.append(f"{'train' if train else 'eval'} {name}")
                self.constants[str(inputs[-1])] = tensor
        for node in list(program.graph.nodes):
            if "_assert_tensor_metadata" in str(node.target):  # it forbids another type of numbers
                program.graph.erase_node(node)
        program.graph_module.recompile()
        value = next(node for node in program.graph.nodes if node.name == images[0]).meta["val"]
        num_images, *shape = value.shape
        kinds = [spec.kind for spec in program.graph_signature.output_specs]
        return _Mode(
            program, tuple(inputs), kinds.index(OutputKind.USER_OUTPUT), value.dtype,
            num_images if isinstance(num_images, int) else None,
            tuple(shape) if all(isinstance(side, int) for side in shape) else None,
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        mode = self.modes[self.training and self.has_train_mode]
        return in_batches(lambda part: self._run(mode, part), images, mode.batch_size)

    def _run(self, mode: _Mode, images: Tensor) -> Tensor:
        wide = images.dtype == torch.float64 and mode.dtype == torch.float32
        given = [images if name is None else self._input(name) for name in mode.inputs]
        if wide:
            given = [value.to(torch.complex128) if _is_complex(value) else value for value in given]
        with asking("a graph"):
            answer: Tensor = mode.module_for(images.device, wide=wide)(*given)[mode.output]
        return answer

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ExportedModel:
        super()._apply(fn, recurse)
        for name, value in self.constants.items():
            # Numbers that the code writes out move along, since it may say where to; an attribute stays behind.
            if name.rpartition(" ")[2].startswith("lifted_tensor") and isinstance(value, Tensor):
                self.constants[name] = fn(value)
        return self

    def _input(self, name: str) -> Any:
        if name in self.constants:
            return self.constants[name]
        *path, last = name.split(".")
        place = functools.reduce(lambda module, part: module._modules[part], path, self)  # type: ignore[arg-type, return-value]
        return place._parameters[last] if last in place._parameters else place._buffers[last]

    def static(self, *, train: bool, batch_size: int, input_shape: tuple[int, ...]) -> Static:
        """The graph of a mode for a batch of one size: what the size decides is a number in it, not a symbol."""
        mode = self.modes[train]
        if mode.batch_size not in (None, batch_size):
            raise TinydigitsError("its graph", got=f"batches of {mode.batch_size} alone", expected=f"of {batch_size}")
        module = copy.deepcopy(mode.program.graph_module)
        fake = FakeTensorMode(allow_non_fake_inputs=True)
        image = torch.zeros(batch_size, *input_shape, dtype=mode.dtype)
        given = [image if name is None else self._input(name) for name in mode.inputs]
        with fake, torch.no_grad():
            _Shapes(module).run(*(fake.from_tensor(v.detach()) if isinstance(v, Tensor) else v for v in given))
        for node in list(module.graph.nodes):
            size = node.meta.get("val")
            if node.op == "call_function" and isinstance(size, (bool, int, float)):
                node.replace_all_uses_with(size)
                module.graph.erase_node(node)
            elif node.op == "call_function" and "_assert_scalar" in str(node.target):
                module.graph.erase_node(node)
        constants = {key.partition(" ")[2]: value for key, value in self.constants.items()}
        return Static(module, mode.program.graph_signature, dict(_named(self)), constants)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reader, self.contents

    def __deepcopy__(self, memo: dict[int, Any]) -> ExportedModel:
        copied = ExportedModel.__new__(ExportedModel)
        copied.__dict__.update(copy.deepcopy(vars(self), memo))
        return copied


class _Shapes(fx.Interpreter):
    """Notes what each node gives, of a run on tensors without content."""

    def run_node(self, n: fx.Node) -> Any:
        n.meta["val"] = result = super().run_node(n)
        return result


def register(model: nn.Module, name: str, tensor: Tensor, *, persistent: bool = True) -> None:
    """Put a parameter or a buffer at `part.of.model.name`, with modules on the way to it.

    >>> model = nn.Module()
    >>> register(model, "net.0.weight", nn.Parameter(torch.zeros(2)))
    >>> [name for name, _ in model.named_parameters()]
    ['net.0.weight']
    """
    # Into the tables themselves: a part of a model may bear the name of a method or an attribute of the holder.
    *path, last = name.split(".")
    for part in path:
        model = model._modules.setdefault(part, nn.Module())  # type: ignore[assignment]
    if isinstance(tensor, nn.Parameter):
        model._parameters[last] = tensor
    else:
        model._buffers[last] = tensor
        if not persistent:
            model._non_persistent_buffers_set.add(last)


def in_batches(model: Callable[[Tensor], Tensor], images: Tensor, batch_size: int | None) -> Tensor:
    """Ask a model that takes batches of one size only; the last batch is filled up with its own last image."""
    if batch_size is None or len(images) == batch_size:
        return model(images)
    answers = []
    for part in images.split(batch_size):
        missing = batch_size - len(part)
        whole = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])]) if missing else part
        answers.append(model(whole)[: len(part)])
    return torch.cat(answers)


def _named(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _is_complex(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.complex64


def _adapt(value: Any, *, device: torch.device, wide: bool) -> Any:
    if isinstance(value, torch.device):
        return device
    return widened(value) if wide else value


def widened(value: Any) -> Any:
    """Double precision for single; whatever else it is given comes back as it is.

    >>> widened(torch.float32), widened(3)
    (torch.float64, 3)
    """
    return (
        {torch.float32: torch.float64, torch.complex64: torch.complex128}.get(value, value)
        if isinstance(value, torch.dtype)
        else value
    )


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())
