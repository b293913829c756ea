"""Weights as safetensors whose metadata says what they belong to."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from tinydigits.archive import require_honest
from tinydigits.errors import TinydigitsError, first_line, foreign_code
from tinydigits.models.allowed import Code, choose_code
from tinydigits.models.registry import build, find
from tinydigits.text import json_tree

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "CARD_KEY", "WeightsCard", "build_with_weights", "card_in", "fit_weights", "load_weights", "open_weights",
    "read_card", "read_weights", "weights_and_code", "weights_bytes", "with_plain_weights",
]  # fmt: skip

CARD_KEY = "tinydigits"
"""Where a file's metadata has its card, as JSON."""

# Where checkpoints keep the state dict: the reference systems' key first, then those of Lightning, timm and others.
_STATE_KEYS = (
    "model_state_dict", "state_dict", "model", "model_state", "net", "network", "module", "weights", "params",
)  # fmt: skip
# What DataParallel, torch.compile and Lightning put before each name.
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_NUM_NAMED = 6
# What a card may claim: more would take memory before the first weight is compared.
_MAX_CLASSES = 10_000
_Side = Annotated[int, Field(ge=1, le=1_024)]


class WeightsCard(BaseModel):
    """What a weights file says of itself: architecture, normalisation, data set and classes.

    `source` is a known data set's name; of a folder it is `./` and the folder's last name, so that a file that is given
    away does not tell where it lay. `data_sha256` is of the training images; files of earlier versions have none. In an
    exported file `unsure_below` is the probability under which an answer is not to be relied on.

    >>> WeightsCard(model="two-conv", source="mnist", classes=["0", "1"], mean=0.1307, std=0.3081).input_shape
    (1, 28, 28)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    options: dict[str, Any] = {}
    source: str
    classes: list[str] = Field(min_length=1, max_length=_MAX_CLASSES)
    input_shape: tuple[_Side, _Side, _Side] = (1, 28, 28)
    mean: float
    std: float
    recipe: str = ""
    unsure_below: float | None = None
    data_sha256: str | None = None

    @model_serializer(mode="wrap")
    def _leave_out_what_is_not_known(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        tree: dict[str, Any] = serialise(self)
        if self.data_sha256 is None:  # the files of earlier versions come out as they were, to the byte
            del tree["data_sha256"]
        return tree


def weights_bytes(model: nn.Module, card: WeightsCard) -> bytes:
    """A model's parameters and buffers as the content of a safetensors file with `card` in its metadata."""
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    return save(state, metadata={CARD_KEY: card.model_dump_json()})


def read_card(path: str | Path) -> WeightsCard:
    """What a safetensors file says of itself, read without torch.

    >>> import tempfile
    >>> card = WeightsCard(model="two-conv", source="mnist", classes=list("0123456789"), mean=0.1307, std=0.3081)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "weights.safetensors"
    ...     _ = path.write_bytes(weights_bytes(build("two-conv"), card))
    ...     read_card(path) == card
    True

    Raises TinydigitsError when the file is no safetensors or has no card.
    """
    card = card_in(str(path), _read_safetensors(str(path), framework="numpy")[1])
    if card is None:
        raise _no_card(str(path))
    return card


def load_weights(path: str | Path, *, spec: str | None = None) -> tuple[nn.Module, WeightsCard]:
    """Build the model that a weights file names and load the weights into it; gives (model in eval mode, card).

    `spec` names the class to use instead of the card's. Raises TinydigitsError when the file holds no weights, has no
    card, names code that the user has not named, or does not fit the model.
    """
    return open_weights(path, named=spec)[:2]


def open_weights(
    path: str | Path,
    *,
    named: str | None = None,
    recorded: Mapping[str, str] | None = None,
    command: str = "",
    if_changed: str = "",
) -> tuple[nn.Module, WeightsCard, Code]:
    """As `load_weights`, with the code that the model was built by; the arguments are those of `choose_code`."""
    where = str(path)
    state, card, code = weights_and_code(path, named=named, recorded=recorded, command=command, if_changed=if_changed)
    model = build_with_weights(code.spec, card.options, state, where)
    with foreign_code(where, "when it is set to eval mode"):
        return model.eval(), card, code


def build_with_weights(spec: str, options: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> nn.Module:
    """Build a model and load a state dict, read from `where`, into it; raises TinydigitsError where it does not fit."""
    if ":" not in spec:
        import torch

        find(spec)  # imported here, a file's own tensors are not built without memory
        # A card may ask for more layers than there is memory: first without any.
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that no weights are kept
            fit_weights(build(spec, options), dict(state), where)
    model = build(spec, options)
    fit_weights(model, dict(state), where)
    return model


def weights_and_code(
    path: str | Path,
    *,
    named: str | None = None,
    recorded: Mapping[str, str] | None = None,
    command: str = "",
    if_changed: str = "",
) -> tuple[dict[str, Tensor], WeightsCard, Code]:
    """What a weights file holds, its card, and the code that its model is to be built by; none of that is run."""
    state, card = read_weights(path)
    if card is None:
        raise _no_card(str(path))
    code = choose_code(
        card.model, str(path), named=named, beside=Path(path).parent, recorded=recorded, command=command,
        if_changed=if_changed,
    )  # fmt: skip
    return state, card, code


def read_weights(path: str | Path) -> tuple[dict[str, Tensor], WeightsCard | None]:
    """The state dict of a `.safetensors`, `.pt` or `.pth` file on the CPU, and its card where it has one.

    Nothing of the file is run: what is pickled is read with `weights_only=True`. The state dict is the file itself, or
    lies in it under one of the usual keys (`model_state_dict`, `state_dict`, `model`, ...). Raises TinydigitsError when
    there is no such file, when it is cut short, and when it holds anything but tensors and plain values.
    """
    where = str(path)
    state, metadata = _read_safetensors(where) if Path(path).suffix == ".safetensors" else _read_pickled(where)
    if not state:
        raise TinydigitsError(where, "holds no weights")
    return state, card_in(where, metadata)


def fit_weights(model: nn.Module, state: dict[str, Tensor], where: str) -> None:
    """Load a state dict into a model, every tensor of both; wrappers' prefixes (`module.`, `_orig_mod.`) fall away.

    A tensor with several names in the model needs one of them in the state dict.
    Raises TinydigitsError that names the missing and the unexpected tensors, and those of another shape.
    """
    with foreign_code(where, "when it is loaded into its model"):
        _fit_weights(model, state, where)


def _fit_weights(model: nn.Module, state: dict[str, Tensor], where: str) -> None:
    from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

    wanted = model.state_dict()
    for prefix in _PREFIXES:
        fits = state.keys() <= wanted.keys() or all(key.startswith(prefix) for key in wanted)
        if not fits and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    firsts = _first_names(model, wanted)
    by_first_name = {firsts[name]: tensor for name, tensor in state.items() if name in firsts}
    state = {name: by_first_name[first] for name, first in firsts.items() if first in by_first_name} | state
    problems = []
    for word, keys in (("lacks", wanted.keys() - state.keys()), ("has besides", state.keys() - wanted.keys())):
        if keys:
            problems.append(f"{word} {_list(sorted(keys))}")
    lazy = {name for name, tensor in wanted.items() if isinstance(tensor, UninitializedParameter | UninitializedBuffer)}
    problems += [
        f"{key} is {_shape(state[key])} and should be {_shape(wanted[key])}"
        for key in sorted(wanted.keys() & state.keys() - lazy) if state[key].shape != wanted[key].shape
    ][:_NUM_NAMED]  # fmt: skip
    where_to = f"does not fit {type(model).__name__}"
    if problems:
        raise TinydigitsError(where, f"{where_to}: {'; '.join(problems)}")
    try:
        model.load_state_dict(state)
    except RuntimeError as error:  # a model with loading rules of its own
        raise TinydigitsError(where, f"{where_to}: {error}") from error


def with_plain_weights(model: nn.Module) -> nn.Module:
    """A copy whose weights are plain ones: what a parametrization computes is computed now, and no more at each call.

    >>> plain = with_plain_weights(build("dihedral-cnn"))
    >>> sorted(name for name, _ in plain.named_parameters())[:2]
    ['head.0.weight', 'head.2.bias']

    Its answers are the model's own. Nothing in it learns any more.
    """
    from torch import nn
    from torch.nn.utils import parametrize

    model = copy.deepcopy(model)
    for module in filter(parametrize.is_parametrized, list(model.modules())):
        values = {name: getattr(module, name).detach() for name in module.parametrizations}  # type: ignore[union-attr]
        # torch's remove_parametrizations changes the class, which the model that was copied shares.
        module.__class__ = parametrize.type_before_parametrizations(module)
        del module.parametrizations
        for name, value in values.items():
            module.register_parameter(name, nn.Parameter(value))
    return model.requires_grad_(False)


def _first_names(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Each of a state dict's names → the first of all that its tensor has there."""
    held = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    tensors = {name: id(tensor) for name, tensor in held}
    firsts: dict[int | str, str] = {}
    return {name: firsts.setdefault(tensors.get(name, name), name) for name in names}


def _no_card(where: str) -> TinydigitsError:
    return TinydigitsError(
        where, "has no tinydigits metadata, which says what model it belongs to",
        hint=f"tinydigits verify path/to/file.py:Class --weights {where}",
    )  # fmt: skip


def _read_safetensors(where: str, framework: str = "pt") -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and metadata; of another framework than torch the metadata alone."""
    from safetensors import SafetensorError, safe_open

    _must_be_there(where)
    try:
        with safe_open(where, framework=framework) as file:
            names = file.keys() if framework == "pt" else ()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise TinydigitsError(where, f"not a whole safetensors file: {error}") from error


def _must_be_there(where: str) -> None:
    if not Path(where).is_file():
        raise TinydigitsError(where, "no such weights file")


def _read_pickled(where: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    import torch

    _must_be_there(where)
    require_honest(Path(where), where)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it will raise anyway
            content = torch.load(where, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _not_weights_only(where, error) from error
    except Exception as error:  # torch raises of all kinds for damaged files
        if "TorchScript" in str(error):
            raise TinydigitsError(
                where, "is TorchScript, which holds code",
                hint="torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt')",
            ) from error  # fmt: skip
        raise TinydigitsError(where, f"not a whole file of torch.save: {first_line(error)}") from error
    if not isinstance(content, Mapping):
        raise TinydigitsError(where, got=type(content).__name__, expected="a state dict, or a dict that holds one")
    for key in (None, *_STATE_KEYS):
        state = content if key is None else content.get(key)
        if isinstance(state, Mapping) and state and all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
            return {str(name): tensor for name, tensor in state.items()}, {} if key is None else dict(content)
    raise TinydigitsError(
        where, "holds no state dict", got=f"the keys {_list([*map(str, content)])}",
        expected=f"one of {', '.join(_STATE_KEYS)}",
    )  # fmt: skip


def _not_weights_only(where: str, error: Exception) -> TinydigitsError:
    """Why a file was not unpickled: it names classes and functions, which unpickling would run."""
    named = dict.fromkeys(re.findall(r"GLOBAL ([\w.]+)", str(error)))
    if not named:
        return TinydigitsError(where, "not a whole file of torch.save")
    return TinydigitsError(
        where, f"holds pickled code ({_list([*named])}), which is not run",
        hint="where it was made: torch.save(model.state_dict(), 'weights.pt')",
    )  # fmt: skip


def card_in(where: str, metadata: Mapping[str, Any]) -> WeightsCard | None:
    """The card in a file's metadata, None where it has none; raises TinydigitsError for a damaged one."""
    if CARD_KEY not in metadata:
        return None
    try:
        return WeightsCard(**json_tree(metadata[CARD_KEY], "its card"))
    except (TinydigitsError, TypeError, ValidationError) as error:
        raise TinydigitsError(where, f"damaged tinydigits metadata: {error}") from error


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
    return ", ".join(names[:_NUM_NAMED]) + more


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"
