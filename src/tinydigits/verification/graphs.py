"""Graphs of torch.export out of another process or a stranger's file, read without running what is hidden in them."""

from __future__ import annotations

import io
import logging
import os
import pickle
from typing import Any

import torch
from torch import fx

from tinydigits.bounds import asking
from tinydigits.errors import TinydigitsError, first_line
from tinydigits.trace import ExportedModel
from tinydigits.verification._pt2_archive import HINT, rewritten

__all__ = ["read_graphs"]

_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
# What runs graphs inside the graph, which are looked at too; what the exporter writes of torch's private ones; sizes.
_AROUND_GRAPHS = ("cond", "while_loop", "wrap_with_autocast", "wrap_with_set_grad_enabled")
_EXPORTED = ("_assert_scalar", "_assert_tensor_metadata", "_unsafe_view", "_weight_norm")
_ON_SIZES = (torch.sym_float, torch.sym_int, torch.sym_ite, torch.sym_max, torch.sym_min, torch.sym_not, torch.sym_sum)


def read_graphs(of_eval: bytes, of_train: bytes = b"", *, extra: dict[str, str] | None = None) -> ExportedModel:
    """The archives of a model's graphs as one model, in eval mode; `extra` is filled from the first one's extra files.

    Raises TinydigitsError, which says what is wrong with them, for archives that are damaged or hold code, operations
    that are more than arithmetic, or graphs over different weights.
    """
    try:
        programs = {False: _load(of_eval, extra)} | ({True: _load(of_train)} if of_train else {})
        return ExportedModel(programs, read_graphs, (of_eval, of_train)).eval()
    except TinydigitsError:
        raise
    except pickle.UnpicklingError as error:
        raise TinydigitsError("its archive", f"holds pickled code, which is not run{HINT}") from error
    except Exception as error:  # torch raises of all kinds for damaged archives
        raise TinydigitsError("its archive", f"not a whole archive of torch.export: {first_line(error)}") from error


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
