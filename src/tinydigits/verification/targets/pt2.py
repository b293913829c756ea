"""An archive of torch.export: the graph of one mode with its weights, and no class."""

from __future__ import annotations

import copy
import functools
import io
import logging
import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind, OutputKind

from tinydigits import models
from tinydigits.bounds import asking
from tinydigits.checks import Subject
from tinydigits.errors import TinydigitsError, first_line
from tinydigits.training import pick_device
from tinydigits.verdict import JudgedTarget
from tinydigits.verification.request import InputFacts, Request
from tinydigits.verification.targets import weights
from tinydigits.verification.targets._file import NO_TRAIN_MODE, in_batches, must_answer
from tinydigits.verification.targets._pt2_archive import HINT, rewritten
from tinydigits.verification.targets._target import Kind, Target, of_card

_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
# What runs graphs inside the graph, which are looked at too; what the exporter writes of torch's private ones; sizes.
_AROUND_GRAPHS = ("cond", "while_loop", "wrap_with_autocast", "wrap_with_set_grad_enabled")
_EXPORTED = ("_assert_scalar", "_assert_tensor_metadata", "_unsafe_view")
_ON_SIZES = (torch.sym_float, torch.sym_int, torch.sym_ite, torch.sym_max, torch.sym_min, torch.sym_not, torch.sym_sum)


def takes(request: Request) -> bool:
    """A file that ends in .pt2."""
    return request.is_file(".pt2")


def load(request: Request) -> Target:
    """Read the archive, and its card from the extra file `tinydigits`, where it has one.

    Raises TinydigitsError when it is damaged, and when its graph takes anything but one tensor.
    """
    path = Path(request.name)
    model, card = _read(path)
    reason = f"a .pt2 {NO_TRAIN_MODE}"
    lacks = {"train": reason, "dropout": reason}
    if model.batch_size is not None:
        lacks["batches"] = lacks["structure"] = f"this .pt2 takes batches of {model.batch_size} alone"
    subject = Subject(
        model, name=path.name, device=str(pick_device(request.device)), trained=True, file=path, lacks=lacks
    )
    model_name = card.model if card else None
    facts = JudgedTarget(kind="pt2", name=path.name, model=model_name, **weights.facts(path))
    own = InputFacts(input_shape=model.input_shape)
    return Target(subject, facts, of_card(card) if card is not None else own)


class ExportedModule(nn.Module):
    """The graph of an archive, its weights under the names that they had.

    `batch_size` is None where it takes any number of images.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        program = _load(content)
        specs = program.graph_signature.input_specs
        images = [spec.arg.name for spec in specs if spec.kind == InputKind.USER_INPUT]
        if len(images) != 1:
            raise TinydigitsError("its graph", got=f"{len(images)} inputs", expected="one: the images")
        value = next(node for node in program.graph.nodes if node.name == images[0]).meta["val"]
        num_images, *shape = value.shape
        self.content, self.dtype = content, value.dtype
        self.batch_size = num_images if isinstance(num_images, int) else None
        self.input_shape = tuple(shape) if all(isinstance(side, int) for side in shape) else None
        self.inputs: list[tuple[str, ...]] = []
        kept: dict[Any, Tensor] = {}
        for spec in specs:
            if spec.kind == InputKind.USER_INPUT:
                self.inputs.append(())
                continue
            name = str(spec.target)
            self.inputs.append(tuple(name.split(".")))
            tensor = program.state_dict[name] if name in program.state_dict else program.constants[name]
            if spec.kind == InputKind.PARAMETER:
                tensor = nn.Parameter(tensor.detach(), requires_grad=tensor.requires_grad)
            if isinstance(tensor, Tensor):  # the archive has a tensor under each of its names: they share its memory
                tensor = kept.setdefault((spec.kind, tensor.data_ptr(), tensor.shape, tensor.stride()), tensor)
            self._keep(name, tensor, spec)
        graph = program.graph_module.graph
        for node in list(graph.nodes):
            if "_assert_tensor_metadata" in str(node.target):  # it forbids another type of numbers
                graph.erase_node(node)
        program.graph_module.recompile()
        kinds = [spec.kind for spec in program.graph_signature.output_specs]
        self._graph = _Shared(program.graph_module, kinds.index(OutputKind.USER_OUTPUT))

    def _keep(self, name: str, tensor: Any, spec: Any) -> None:
        *path, last = name.split(".")
        place: nn.Module = self
        for part in path:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place.get_submodule(part)
        if spec.kind == InputKind.PARAMETER:
            place.register_parameter(last, tensor)
        elif spec.kind == InputKind.BUFFER:
            place.register_buffer(last, tensor, persistent=bool(spec.persistent))
        else:
            setattr(place, last, tensor)  # a constant: no parameter, no buffer

    def forward(self, images: Tensor) -> Tensor:
        return in_batches(self._run, images, self.batch_size)

    def _run(self, images: Tensor) -> Tensor:
        given = [functools.reduce(getattr, place, self) if place else images for place in self.inputs]
        with asking("a .pt2"):
            answer: Tensor = self._graph.module(*given)[self._graph.output]
        return answer

    def __reduce__(self) -> tuple[Any, ...]:
        return ExportedModule, (self.content,)

    def __deepcopy__(self, memo: dict[int, Any]) -> ExportedModule:
        copied = ExportedModule.__new__(ExportedModule)
        copied.__dict__.update(copy.deepcopy(vars(self), memo))
        return copied


@dataclass(frozen=True)
class _Shared:
    """The operations, which copies of the module have in common."""

    module: fx.GraphModule
    output: int

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


def _load(content: bytes, extra: dict[str, str] | None = None) -> torch.export.ExportedProgram:
    """An archive's program, without running what is pickled or compiled in it.

    Where reading with `weights_only` fails, torch's reader tries again without; only this variable keeps it from that.
    """
    plain = rewritten(content)
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    logger = logging.getLogger("torch.export")
    was_silent, logger.disabled = logger.disabled, True  # it prints the traceback of what it raises anyway
    try:
        with asking("a .pt2"):
            program = torch.export.load(io.BytesIO(plain), extra_files=extra)
    finally:
        logger.disabled = was_silent
        os.environ.pop(_FORCE)
        if before is not None:
            os.environ[_FORCE] = before
    _require_arithmetic(program)
    return program


def _require_arithmetic(program: torch.export.ExportedProgram) -> None:
    """Refuse operations that are more than arithmetic on tensors.

    torch's own reader lets any operation through that is registered, among them some that make and change files, and a
    function that imports a module by its name.
    """
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, fx.GraphModule) else ():
            if node.op == "call_function" and not _is_arithmetic(node.target):
                raise TinydigitsError("its graph", f"holds the operation {node.target}, which is not run")


def _is_arithmetic(target: Any) -> bool:
    """Whether an operation works on tensors, or makes one of a size; or is Python's arithmetic, on sizes."""
    if isinstance(target, torch._ops.HigherOrderOperator):
        return target.name() in _AROUND_GRAPHS
    if not isinstance(target, torch._ops.OpOverload):
        return getattr(target, "__module__", "") in ("_operator", "math") or target in _ON_SIZES
    if target.namespace != "aten":
        return False
    name, types = target.overloadpacket.__name__, [str(argument.type) for argument in target._schema.arguments]
    is_private = name.startswith("_") and torch.Tag.core not in target.tags and name not in _EXPORTED
    names_a_file = "str" in types and not any("Tensor" in kind for kind in types)
    return not is_private and not names_a_file


def _read(path: Path) -> tuple[ExportedModule, models.WeightsCard | None]:
    if not path.is_file():
        raise TinydigitsError(str(path), "no such file")
    content = path.read_bytes()
    extra = {models.CARD_KEY: ""}
    try:
        _load(content, extra)
        model = ExportedModule(content).eval()
        must_answer(model)
    except TinydigitsError as error:
        raise TinydigitsError(str(path), str(error)) from error
    except pickle.UnpicklingError as error:
        raise TinydigitsError(str(path), f"holds pickled code, which is not run{HINT}") from error
    except Exception as error:  # torch raises of all kinds for damaged archives
        raise TinydigitsError(str(path), f"not a whole archive of torch.export: {first_line(error)}") from error
    return model, models.card_in(str(path), {models.CARD_KEY: text} if (text := extra[models.CARD_KEY]) else {})


KIND = Kind("a .pt2 of torch.export", 2, takes, load)
