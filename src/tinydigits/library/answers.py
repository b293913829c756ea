"""`td.verify` and `td.predict`."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinydigits.errors import TinydigitsError
from tinydigits.library._names import spec_of
from tinydigits.library._process import leaves_process_as_found

if TYPE_CHECKING:
    from torch import nn

    from tinydigits.contract import Contract
    from tinydigits.library._names import Model
    from tinydigits.prediction import Answer
    from tinydigits.run import Run
    from tinydigits.table import Listing
    from tinydigits.verdict import Verdict

__all__ = ["predict", "verify"]


@leaves_process_as_found
def verify(
    target: Model | Run | None = None,
    contract: str | Path | Contract | Mapping[str, Any] | None = None,
    *,
    weights: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    model: Model | None = None,
    input_shape: tuple[int, ...] | None = None,
    mean: float | tuple[float, ...] | None = None,
    std: float | tuple[float, ...] | None = None,
    data: str | Path | None = None,
    out: str | Path = "runs",
    device: str = "cpu",
    threads: int | None = None,
) -> Verdict:
    """Put every check of a contract to a model; a verdict, which is true where it holds.

    >>> import tinydigits as td
    >>> verdict = td.verify("two-conv", {"model": {"parameters": {"max": 25_000}}})
    >>> bool(verdict), verdict.findings["model.parameters"].measured
    (True, '13,242')

    `target` is a run (None: the latest), a shipped or registered model's name, `path/to/file.py:Class`, a file of
    weights or an exported file, a class, or a module, whose weights are taken for trained ones. `contract` is a
    contract, its name or file, or its tables as a dict; by default that of the run's recipe. A class is built with
    `options` and the `weights` of a file; `model` names the class for a file of weights. `input_shape`, of one image,
    `mean` and `std` say how the model takes its images; `data` replaces the set that accuracy is measured on.

    A run's verdict is kept in its folder. Raises TinydigitsError where there can be no verdict: no such target or
    contract, or a model that cannot be built or called.
    """
    from torch import nn

    from tinydigits.report import write_run_report
    from tinydigits.run import Run
    from tinydigits.verification import InputFacts, Request, keep, prepare

    module = target if isinstance(target, nn.Module) else None
    if module is not None:
        input_shape, mean, std = _input_of(module, input_shape, mean, std)
        name = None
    elif isinstance(target, Run):
        name = str(target.folder)
    else:
        name = spec_of(target) if inspect.isclass(target) else _text(target)
    request = Request(
        target=name, contract=_limits(contract), runs=str(out), weights=_text(weights), options=dict(options or {}),
        model=None if model is None else spec_of(model), data=_text(data), device=device, threads=threads,
        input=InputFacts(input_shape=input_shape, mean=mean, std=std),
    )  # fmt: skip
    case = prepare(request, module)
    verdict = case.judge()
    keep(case, verdict)
    if case.run is not None:
        write_run_report(case.run)
    return verdict


def predict(
    pictures: Any, *, model: str | Path | Run | None = None, many: bool = False, out: str | Path = "runs"
) -> Listing[Answer]:
    """Read the digits of pictures, without torch; an answer for each digit, none for a picture without ink.

    >>> import numpy as np, tinydigits as td
    >>> one = np.zeros((28, 28), np.uint8)
    >>> one[4:24, 13:15] = 255
    >>> [answer.label for answer in td.predict(one)]
    ['1']

    `pictures` is a path, of a file or a folder, a glob, a PIL image, an array (H, W), (H, W, 3) or (H, W, 4), uint8 or
    floating point of 0 to 1, or a list of these. With `many` each digit of a picture is read. `model` is a shipped
    model's name, an ONNX file or a run, which is exported first where it has no ONNX file; by default
    `gap-cnn-tuned`. Raises TinydigitsError for what is no picture, and for a model that cannot be asked.
    """
    from tinydigits.prediction import classify_picture, open_model, pictures_in
    from tinydigits.run import Run
    from tinydigits.table import Listing

    if isinstance(model, Run):
        if not any(model.folder.glob("*.onnx")):
            from tinydigits.library.models import export

            export(model, "onnx")
        model = model.folder
    classifier = open_model(None if model is None else str(model), out)
    answers: Listing[Answer] = Listing()
    several = isinstance(pictures, list | tuple)
    for number, picture in enumerate(pictures if several else [pictures]):
        if isinstance(picture, str | Path):
            for path in pictures_in(str(picture)):
                answers += classify_picture(path, classifier, many=many)
        else:
            source = f"{type(picture).__name__}{f' {number}' if several else ''}"
            found = classify_picture(_png(picture), classifier, many=many)
            answers += [replace(answer, source=source) for answer in found]
    return answers


def _text(path: Any) -> str | None:
    return None if path is None else str(path)


def _limits(contract: str | Path | Contract | Mapping[str, Any] | None) -> str | Contract | None:
    from tinydigits.contract import Contract, from_tree

    if isinstance(contract, Mapping):
        return from_tree(contract)
    return contract if isinstance(contract, Contract) else _text(contract)


def _input_of(module: nn.Module, *given: Any) -> tuple[Any, ...]:
    """Shape, mean and std of a module's images: as they are given, else as the card says that `load` put on it."""
    card = getattr(module, "card", None)
    own = (None, None, None) if card is None else (card.input_shape, card.mean, card.std)
    return tuple(one if one is not None else other for one, other in zip(given, own, strict=True))


def _png(picture: Any) -> bytes:
    """A PIL image or an array as the bytes of a picture file."""
    import numpy as np
    from PIL import Image, ImageOps

    from tinydigits.data import memory

    if not isinstance(picture, Image.Image):
        array = memory.grey_levels(np.asarray(picture), "picture")
        if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
            got = f"{type(picture).__name__} of {array.dtype} {array.shape}"
            expected = "uint8 or floating point (H, W), (H, W, 3) or (H, W, 4), a PIL image or a path"
            raise TinydigitsError("picture", got=got, expected=expected)
        picture = Image.fromarray(array)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):  # what a PNG file holds in eight bits
        picture = picture.convert("L" if picture.mode in ("F", "I", "I;16") else "RGB")
    content = io.BytesIO()
    picture.save(content, "png")
    return content.getvalue()
