"""`td.load`, `td.summary`, `td.export` and `td.list_models`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinydigits.errors import TinydigitsError
from tinydigits.library._names import run_of, spec_of
from tinydigits.library._process import leaves_process_as_found

if TYPE_CHECKING:
    from torch import nn

    from tinydigits.exports import Exported
    from tinydigits.library._names import Model
    from tinydigits.pretrained import Shelf
    from tinydigits.run import Run
    from tinydigits.table import Listing
    from tinydigits.trace import Trace

__all__ = ["export", "list_models", "load", "summary"]


@leaves_process_as_found
def load(run: str | Path | Run | None = None, *, model: Model | None = None, out: str | Path = "runs") -> nn.Module:
    """A trained model as a module of torch, in eval mode on the CPU; `card` says how it takes its images.

    >>> import tinydigits as td
    >>> net = td.load("frontier-600")
    >>> net.training, net.card.mean, net.card.classes[:3]
    (False, 0.1307, ['0', '1', '2'])

    `run` is a shipped model's name, or a run, its folder or its name; None is the latest run. `model` names the code
    of a run of your own whose code has changed since. Raises TinydigitsError for an unfinished or damaged run.
    """
    from tinydigits import exports

    named = None if model is None else spec_of(model)
    trained = exports.of_run(run_of(run, out), model=named)
    setattr(trained.model, "card", trained.card)  # noqa: B010 (an attribute that torch's type does not have)
    return trained.model


@leaves_process_as_found
def summary(model: Model, input_shape: tuple[int, ...] = (1, 28, 28)) -> Trace:
    """The layers of a model: output shapes, parameters, receptive fields and multiply-adds, read from its graph.

    >>> import tinydigits as td
    >>> td.summary("two-conv").num_parameters
    13242

    `model` is a registered or a shipped model's name, `path/to/file.py:Class`, a class or a module; `input_shape` is of
    one image, without the batch. It shows as a table. Raises TinydigitsError where the model cannot be built or
    exported as a graph.
    """
    from torch import nn

    from tinydigits import models, pretrained
    from tinydigits.errors import foreign_code
    from tinydigits.trace import trace

    if isinstance(model, str) and model in pretrained.names():
        model = load(model)
    module = model if isinstance(model, nn.Module) else models.build(spec_of(model))
    with foreign_code(f"model {type(module).__name__}", "when it is called"):
        return trace(module, input_shape)


@leaves_process_as_found
def export(
    run: str | Path | Run | None,
    *formats: str,
    to: str | Path | None = None,
    model: Model | None = None,
    data: str | Path | None = None,
    out: str | Path = "runs",
) -> Listing[Exported]:
    """Write a trained model in some formats; each file is asked for every test image, and compared.

    >>> import tempfile, tinydigits as td
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [exported] = td.export("frontier-600", "safetensors", to=folder)
    ...     exported.path.name, exported.parity is None or exported.holds
    ('frontier-600.safetensors', True)

    `run` is a run, its folder or name, or a shipped model's name; None is the latest run. The files go `to` a folder,
    by default the run's own. A file that does not answer as the weights do is deleted, and its `holds` is False. Raises
    TinydigitsError for an unknown format and for test images that are not at hand.
    """
    from tinydigits import exports, pretrained
    from tinydigits.table import Listing

    if not formats:
        raise TinydigitsError("export", got="no format", expected=f"one or more of {', '.join(exports.formats())}")
    is_shipped = isinstance(run, str) and run in pretrained.names()
    found = run_of(run, out)
    trained = exports.of_run(
        found, data_folder=None if data is None else str(data), model=None if model is None else spec_of(model)
    )
    folder = Path(to) if to is not None else Path() if is_shipped else found.folder
    return Listing(exports.export(trained, name, folder) for name in formats)


def list_models() -> Shelf:
    """The trained models that come with the package, as a table with sizes and accuracies.

    >>> import tinydigits as td
    >>> [model.name for model in td.list_models()][:2]
    ['dash-99', 'dash-994']
    """
    from tinydigits import pretrained

    return pretrained.Shelf(pretrained.find(name) for name in pretrained.names())
